"""How the weights of a first layer become pictures."""

import numpy as np
import pytest

from digits_jax.reports.detail import unit_pictures


@pytest.mark.parametrize(
    ("fan_in", "image_shape", "shape"),
    [
        (784, (28, 28), (28, 28)),  # dense: pixels
        (36, (4, 9), (4, 9)),  # pixels, though their number is a square
        (25, (28, 28), (5, 5)),  # convolution: a kernel
        (6, (4, 6), (1, 6)),  # dense after pooling
    ],
)
def test_a_unit_is_a_picture_of_its_inputs(fan_in, image_shape, shape):
    weights = np.arange(2 * fan_in, dtype=np.float32).reshape(2, fan_in)
    pictures = unit_pictures(weights, image_shape)
    assert pictures.shape == (2, *shape)
    np.testing.assert_array_equal(pictures[1].ravel(), weights[1])  # row by row
