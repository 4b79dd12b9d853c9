"""Evaluation is exact: every example counts once, the last incomplete batch included."""

import jax
import numpy as np
import pytest

from digits_jax.activations import ACTIVATIONS
from digits_jax.data import Dataset
from digits_jax.evaluation import EVALUATION_BATCH, make_evaluate, precision_and_recall
from digits_jax.layers import activation
from digits_jax.losses import LOSSES
from digits_jax.models import stack


@pytest.mark.parametrize("count", [1, EVALUATION_BATCH, 2 * EVALUATION_BATCH + 503])
def test_metrics_equal_those_counted_by_hand(count):
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 3, 2), dtype=np.uint8)
    labels = rng.integers(0, 4, count).astype(np.int32)
    model = stack((), activation("tanh", ACTIVATIONS["tanh"]), (3, 2), 4)
    params = model.init(jax.random.key(0))

    z = images.reshape(count, 6) / 255 @ np.asarray(params[1].weights, np.float64).T
    probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    confusion = np.zeros((4, 4), int)
    for label, predicted in zip(labels, z.argmax(axis=1), strict=True):
        confusion[label, predicted] += 1

    metrics = jax.jit(make_evaluate(model, LOSSES["cross_entropy"]))(
        params, Dataset(images, labels)
    )
    assert metrics.errors == count - np.trace(confusion)
    assert metrics.accuracy == pytest.approx(np.trace(confusion) / count, abs=1e-6)
    np.testing.assert_array_equal(metrics.confusion, confusion)
    expected_loss = -np.log(probabilities[np.arange(count), labels]).mean()
    assert metrics.loss == pytest.approx(expected_loss, rel=1e-5)


def test_precision_and_recall_worked_out_by_hand():
    # Rows are labels: of class 0 three of four are found; what is taken for it is 3 right, 2 wrong.
    confusion = np.array([[3, 1, 0], [2, 5, 0], [0, 2, 0]])
    precision, recall = precision_and_recall(confusion)
    np.testing.assert_allclose(precision, [3 / 5, 5 / 8, np.nan])
    np.testing.assert_allclose(recall, [3 / 4, 5 / 7, 0])


def test_recall_of_a_class_without_examples_is_undefined():
    precision, recall = precision_and_recall(np.array([[4, 1], [0, 0]]))
    np.testing.assert_allclose(precision, [1, 0])
    np.testing.assert_allclose(recall, [4 / 5, np.nan])
