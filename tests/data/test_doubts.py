"""What makes no sense is said: one warning for each, none for data that are right."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, data, hyperparameters, make_training
from digits_jax.data.changes import changed, noisy
from digits_jax.data.checks import doubts


@pytest.fixture(scope="module")
def digits():
    return data.load(train_size=1000, validation_size=500)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (255 - x, y), "the background is white, that of MNIST is black: --invert"),
        (lambda x, y: (x.transpose(0, 2, 1), y), "look transposed, as EMNIST's are: --transpose"),
        (lambda x, y: (x // 16, y), "the brightest pixel is 15 of 255"),
        (lambda x, y: ((x > 127).astype(np.uint8), y), "the brightest pixel is 1 of 255"),
        (lambda x, y: (x[y != 3], y[y != 3]), "no training image is of class 3"),
        (
            lambda x, y: (x[(few := (y != 3) | (np.arange(len(y)) < 50))], y[few]),
            "--class_weights=balanced gives them equal weight",
        ),
    ],
)
def test_each_doubt_is_one_line(digits, spoil, message):
    train = Dataset(*spoil(*digits.train))
    lines = doubts(train, digits.test, 10)
    assert len(lines) == 1
    assert message in lines[0]


def test_right_data_raise_no_doubt(digits):
    assert doubts(digits.train, digits.test, 10) == []
    same = Dataset(digits.train.images[:5], digits.train.labels[:5])
    assert doubts(digits.train, same, 10) == ["5 of 5 test images are also training images"]


def test_labels_in_order_are_mixed_by_a_fixed_seed(tmp_path, digits, caplog, monkeypatch):
    order = np.argsort(digits.train.labels, kind="stable")
    sides = {"train": (digits.train.images[order], digits.train.labels[order]), "test": digits.test}
    for split, (images, labels) in sides.items():
        np.save(tmp_path / f"{split}_images.npy", images)
        np.save(tmp_path / f"{split}_labels.npy", labels.astype(np.int64))
    monkeypatch.setattr(logging.getLogger("digits_jax"), "propagate", True)
    with caplog.at_level(logging.INFO, "digits_jax.data"):
        one, two = (data.load(data_dir=tmp_path, train_size=800, validation_size=200) for _ in "12")
    assert "labels are in order in the file: mixed by seed 0" in caplog.text
    assert set(one.train.labels.tolist()) == set(one.validation.labels.tolist()) == set(range(10))
    np.testing.assert_array_equal(one.train.images, two.train.images)
    both = [image.tobytes() for part in one[:2] for image in part.images]
    assert sorted(both) == sorted(image.tobytes() for image in digits.train.images)


def test_label_noise_is_symmetric_seeded_and_keeps_what_came_before():
    labels = np.arange(20_000, dtype=np.int32) % 10
    wrong = noisy(labels, 10, 0.4, seed=3)
    share = np.mean(wrong != labels)
    assert abs(share - 0.4) < 4 * np.sqrt(0.4 * 0.6 / 20_000)
    # Every other class is as likely: nine cells of 4.4 % each, in each row.
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels, wrong), 1)
    others = counts[~np.eye(10, dtype=bool)]
    assert abs(others - 20_000 * 0.04 / 9).max() < 5 * np.sqrt(20_000 * 0.04 / 9)
    np.testing.assert_array_equal(wrong[:700], noisy(labels[:700], 10, 0.4, seed=3))
    assert np.any(wrong != noisy(labels, 10, 0.4, seed=4))
    np.testing.assert_array_equal(noisy(labels, 10, 0.0, seed=3), labels)


def test_noise_reaches_the_training_labels_alone(digits):
    with_noise = data.load(train_size=1000, validation_size=500, label_noise=0.4)
    assert 0.3 < np.mean(with_noise.train.labels != digits.train.labels) < 0.5
    np.testing.assert_array_equal(with_noise.validation.labels, digits.validation.labels)
    np.testing.assert_array_equal(with_noise.test.labels, digits.test.labels)


def test_images_are_resized_by_area(digits):
    images = digits.train.images[:20]
    halves = images.reshape(20, 14, 2, 14, 2).mean((2, 4))
    np.testing.assert_array_equal(changed(images, False, False, 14), np.rint(halves))
    small = changed(images, False, False, 11)
    assert small.shape == (20, 11, 11)
    assert abs(small.mean() - images.mean()) < 0.5  # areas keep the mean
    np.testing.assert_array_equal(changed(small, True, True, 0), 255 - small.transpose(0, 2, 1))


@pytest.mark.parametrize("gradients", ["autodiff", "manual"])
def test_balanced_weights_are_as_if_rare_classes_were_repeated(digits, gradients):
    # Twice as many images of class 1: with weights, the gradient of both data sets is the same.
    images, labels = (array[digits.train.labels < 2] for array in digits.train)
    once = np.concatenate([np.flatnonzero(labels == 0)[:40], np.flatnonzero(labels == 1)[:40]])
    twice = np.concatenate([once, once[40:]])
    params = []
    for rows, weights in ((once, "none"), (twice, "balanced")):
        config = Config(
            hidden=(),
            train_size=len(rows),
            batch_size=len(rows),
            epochs=1,
            gradients=gradients,
            class_weights=weights,
            loss="cross_entropy",
            learning_rate=0.5,
        )
        training = make_training(config, (28, 28), 2)
        state = training.init(hyperparameters(config))
        train = Dataset(jnp.asarray(images[rows]), jnp.asarray(labels[rows]))
        params.append(training.epoch(hyperparameters(config), state, train)[0].params)
    for one, other in zip(*map(jax.tree.leaves, params), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
