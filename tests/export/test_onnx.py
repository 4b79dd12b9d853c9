"""ONNX, run by onnxruntime: the same classes and logits as JAX, for every kind of layer."""

import json

import jax
import numpy as np
import pytest

from digits_jax.export import onnx
from digits_jax.losses import LOSSES

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("kind", ["classic", "tanh", "relu", "gelu", "silu", "modern", "sequence"])
def test_classes_and_logits_of_the_test_split_are_those_of_jax(sources, splits, kind):
    source = sources[kind]
    session = onnxruntime.InferenceSession(onnx.serialise(source))
    logits, probabilities = session.run(None, {"images": splits.test.images})
    loss = LOSSES[source.trained.config.loss]
    images = splits.test.images.astype("f4") / 255
    expected = jax.jit(source.model.apply)(source.trained.params, images)
    # standard_normal makes logits of several tens.
    size = max(1.0, float(abs(expected).max()) / 10)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * size)
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
    np.testing.assert_allclose(probabilities, loss.probabilities(expected), rtol=0, atol=1e-5)


def test_a_graph_takes_any_number_of_images_and_says_what_it_is(sources, splits):
    session = onnxruntime.InferenceSession(onnx.serialise(sources["relu"]))
    for n in (1, 7):
        assert session.run(["logits"], {"images": splits.test.images[:n]})[0].shape == (n, 10)
    card = session.get_modelmeta().custom_metadata_map
    assert card["network"] == "28x28-conv4x4/3-max3-7-10"
    assert json.loads(card["class_names"]) == list("0123456789")
    assert json.loads(card["config"])["activation"] == "relu"
    assert card["test_accuracy"] == "0.1"
    assert [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()] == [
        ("images", "tensor(uint8)", [28, 28])
    ]
