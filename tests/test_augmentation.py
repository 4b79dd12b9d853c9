"""Distorted images: read where they should be, drawn anew, and never out of their frame."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from digits_jax import Config, data, hyperparameters
from digits_jax.augmentation import Distortions, bilinear, distort, distortions, neighbours

NOTHING = Distortions(*[None] * len(Distortions._fields))
ALL = {"rotate": 10.0, "scale": 0.1, "shear": 0.1, "shift": 1.5, "elastic": 0.6, "thickness": 0.5}


@pytest.fixture(scope="module")
def digits():
    return jnp.asarray(data.load().train.images[:400].astype(np.float32) / 255)


def test_bilinear_sampling_is_that_of_scipy(digits):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-4, 32, (2, 3, 28, 28)).astype(np.float32)
    for image, u, v in zip(digits, x, y, strict=False):
        sampled = bilinear(image, jnp.asarray(u), jnp.asarray(v))
        expected = scipy.ndimage.map_coordinates(image, [v, u], order=1, mode="grid-constant")
        np.testing.assert_allclose(sampled, expected, atol=2e-5)


def test_without_amounts_nothing_changes(digits):
    assert distortions(hyperparameters(Config())) is None
    for amounts in (NOTHING, Distortions(*[0.0] * 6)):
        np.testing.assert_allclose(distort(jax.random.key(0), digits, amounts), digits, atol=1e-6)


def test_distortions_fade_to_none_over_the_end_of_a_run():
    numbers = hyperparameters(Config(rotate=10.0, shift=2.0, fade=0.4))
    for left, factor in ((1.0, 1.0), (0.4, 1.0), (0.2, 0.5), (0.001, 0.0025)):
        found = distortions(numbers, left)
        assert found.scale is None
        assert (found.rotate, found.shift) == pytest.approx((10 * factor, 2 * factor))


def test_a_rotation_turns_about_the_centre():
    """A bar from the centre to the right: where it ends tells the angle."""
    image = np.zeros((1, 41, 41), np.float32)
    image[:, 20, 20:37] = 1
    images = np.repeat(image, 500, axis=0)
    turned = distort(jax.random.key(3), jnp.asarray(images), NOTHING._replace(rotate=30.0))
    rows, columns = np.mgrid[:41, :41]
    ink = np.asarray(turned).sum(axis=(1, 2))
    down, across = (np.einsum("nhw,hw->n", turned, axis - 20) / ink for axis in (rows, columns))
    angles = np.rad2deg(np.arctan2(down, across))
    assert np.hypot(down, across) == pytest.approx(8, abs=0.3)
    assert np.abs(angles).max() == pytest.approx(30, abs=1.5)
    assert np.std(angles) == pytest.approx(30 / np.sqrt(3), rel=0.1)  # evenly spread


def test_a_shift_moves_by_up_to_so_many_pixels_each_way(digits):
    roomy = jnp.pad(digits, ((0, 0), (2, 2), (2, 2)))
    moved = distort(jax.random.key(0), roomy, NOTHING._replace(shift=2.0))
    before, after = (
        np.array([scipy.ndimage.center_of_mass(image) for image in np.asarray(images)])
        for images in (roomy, moved)
    )
    shifts = after - before
    assert np.abs(shifts).max() <= 2.0 + 1e-3
    assert np.std(shifts) == pytest.approx(2 / np.sqrt(3), rel=0.1)
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.15  # down and across are drawn apart


def test_a_change_of_scale_changes_height_and_width_apart():
    square = np.zeros((300, 28, 28), np.float32)
    square[:, 9:19, 9:19] = 1
    scaled = np.asarray(
        distort(jax.random.key(0), jnp.asarray(square), NOTHING._replace(scale=0.2))
    )
    heights, widths = scaled[:, :, 14].sum(axis=1), scaled[:, 14].sum(axis=1)
    assert heights.min() == pytest.approx(10 / 1.2, abs=0.2)
    assert heights.max() == pytest.approx(10 / 0.8, abs=0.3)
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.2


def test_thickness_goes_from_the_darkest_to_the_lightest_neighbour(digits):
    for choose, filter_ in ((jnp.maximum, "maximum_filter"), (jnp.minimum, "minimum_filter")):
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
        expected = getattr(scipy.ndimage, filter_)(
            digits[0], footprint=cross, mode="constant", cval=0
        )
        np.testing.assert_array_equal(neighbours(digits[0], choose), expected)
    changed = np.asarray(distort(jax.random.key(0), digits, NOTHING._replace(thickness=1.0)))
    ratio = changed.sum(axis=(1, 2)) / digits.sum(axis=(1, 2))
    assert ratio.min() < 0.5 < 1.6 < ratio.max()


def test_an_elastic_field_has_the_deviation_that_it_is_given():
    """A slope of grey levels tells, inside, how far each pixel was moved."""
    slope = np.tile(np.arange(60, dtype=np.float32), (200, 60, 1))
    moved = np.asarray(
        distort(jax.random.key(0), jnp.asarray(slope), NOTHING._replace(elastic=1.5))
    )
    inside = (moved - slope)[:, 15:45, 15:45]
    assert 1.0 < np.std(inside) < 1.6  # least between the points where it is drawn
    assert np.std(np.diff(inside, axis=2)) < 0.3  # smooth


def test_every_image_and_every_key_has_its_own_numbers(digits):
    amounts = distortions(hyperparameters(Config(**ALL)))
    same = np.repeat(digits[:1], 8, axis=0)
    once, again, other = (
        np.asarray(distort(jax.random.key(seed), jnp.asarray(same), amounts)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(once, again)
    differ = np.abs(once[:, None] - np.concatenate([once, other])[None]).max(axis=(2, 3)) > 0.05
    np.testing.assert_array_equal(differ, ~np.eye(8, 16, dtype=bool))


def test_no_digit_leaves_its_frame(digits):
    """With room around it, next to no ink would lie outside of where the frame is."""
    amounts = distortions(hyperparameters(Config(**ALL)))
    roomy = jnp.pad(digits, ((0, 0), (10, 10), (10, 10)))
    ink = np.asarray(distort(jax.random.key(0), roomy, amounts))
    lost = 1 - ink[:, 10:-10, 10:-10].sum(axis=(1, 2)) / ink.sum(axis=(1, 2))
    assert np.mean(lost > 0.01) < 0.05
    assert lost.max() < 0.1  # the tip of a stroke
