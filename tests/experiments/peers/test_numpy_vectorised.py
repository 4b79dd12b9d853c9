"""NumPy vectorised over the batch: against the same sample by sample."""

import itertools

import numpy as np
import pytest

from experiments.peers import numpy_backprop, numpy_vectorised


def draw(sizes, batch, seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(o, i)).astype(dtype), rng.normal(size=o).astype(dtype))
        for i, o in itertools.pairwise(sizes)
    ]
    images = rng.random((batch, 2, sizes[0] // 2)).astype(dtype)
    return layers, images, rng.integers(0, sizes[-1], batch)


@pytest.mark.parametrize("loss", ["quadratic", "cross_entropy"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu"])
def test_equals_back_propagation_image_by_image(activation, loss):
    arguments = draw((12, 7, 5, 4), batch=6, seed=1)
    value, gradient = numpy_vectorised.value_and_grad(*arguments, activation, loss)
    expected_value, expected = numpy_backprop.value_and_grad(*arguments, activation, loss)
    assert value == pytest.approx(expected_value, rel=1e-14)
    for layer, expected_layer in zip(gradient, expected, strict=True):
        for array, expected_array in zip(layer, expected_layer, strict=True):
            np.testing.assert_allclose(array, expected_array, rtol=0, atol=1e-14)


@pytest.mark.parametrize("peer", [numpy_vectorised, numpy_backprop])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu"])
def test_float32_stays_float32(peer, activation):
    arguments = draw((12, 7, 4), batch=3, seed=2, dtype="float32")
    for loss in ("quadratic", "cross_entropy"):
        _, gradient = peer.value_and_grad(*arguments, activation, loss)
        assert {array.dtype for layer in gradient for array in layer} == {np.dtype("float32")}
