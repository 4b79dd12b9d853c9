"""Normalising: MNIST's own images come back, and what comes out is as they are."""

import numpy as np
import pytest
from scipy import ndimage

from digits_jax import data
from digits_jax.recognition.normalise import centre_of_mass, is_normal, normalise, stroke_thickness


@pytest.fixture(scope="module")
def test_images():
    return data.load(train_size=1, validation_size=0).test.images


def assert_come_back(images):
    differences = [np.abs(normalise(x).astype(int) - x).max() for x in images]
    assert np.mean(np.array(differences) <= 3) >= 0.995


def test_images_of_mnist_come_back(test_images):
    assert_come_back(test_images[:1500])


@pytest.mark.slow
def test_all_images_of_mnist_come_back(test_images):
    assert_come_back(test_images)


def test_all_images_of_mnist_are_known_as_such(test_images):
    assert all(map(is_normal, test_images))


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_enlarged_images_come_back_nearly(test_images, factor):
    large = [normalise(np.kron(x, np.ones((factor, factor)))) for x in test_images[:200]]
    same = [np.abs(y.astype(int) - x).max() <= 3 for x, y in zip(test_images, large, strict=False)]
    # Thin ones may be made thicker.
    assert np.mean(same) >= 0.9


def measures(images):
    """Of each image the longer side of its box, its centre of mass, its ink, its brightest."""
    values = []
    for image in images:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        side = max(np.ptp(rows), np.ptp(columns)) + 1
        values.append((side, *centre_of_mass(image), image.mean() / 255, image.max()))
    return np.array(values)


def test_outputs_are_distributed_as_mnist(test_images):
    mnist = test_images[:400]
    large = [ndimage.zoom(x / 255, 7, order=1, grid_mode=True, mode="nearest") for x in mnist]
    # Cut anywhere in a larger field, with any pressure of the pen.
    rng = np.random.default_rng(0)
    fields = [np.pad(x, rng.integers(0, 60, (2, 2))) * rng.uniform(0.2, 50) for x in large]
    side, y, x, inked, brightest = measures([normalise(field) for field in fields]).T
    assert np.mean(side == 20) >= 0.99
    assert np.mean((y > 13.5) & (y <= 14.5) & (x > 13.5) & (x <= 14.5)) >= 0.99
    assert (brightest == 255).all()
    own = measures(mnist)[:, 3]
    assert inked.mean() == pytest.approx(own.mean(), rel=0.12)
    assert inked.std() == pytest.approx(own.std(), rel=0.2)


def test_thin_strokes_get_the_thickness_of_mnist():
    hair = np.zeros((400, 400))
    angle = np.linspace(0, 2 * np.pi, 4000)
    y, x = 200 + 180 * np.cos(angle), 200 + 110 * np.sin(angle)
    hair[np.round(y).astype(int), np.round(x).astype(int)] = 1
    assert 1.4 <= stroke_thickness(normalise(hair) / 255) <= 3.5


def test_nothing_is_nothing():
    assert not normalise(np.zeros((9, 9))).any()
