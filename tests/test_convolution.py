"""Convolution, by patches and by XLA: against loops, SciPy, central differences and PyTorch."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from digits_jax.layers.convolutional import by_patches, by_xla, padding

# Images, channels, kernels, their size, and the stride.
SHAPES = [
    ((12, 13), 1, 3, 5, 2),
    ((7, 5), 3, 2, 3, 1),
    ((9, 4), 2, 3, 3, 2),
    ((5, 6), 2, 2, 1, 2),
    ((6, 7), 1, 3, 4, 3),
    ((3, 2), 2, 2, 5, 1),
]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64():
        yield


def draw(shape, channels, kernels, size):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(kernels, size * size * channels))
    return jnp.asarray(weights), jnp.asarray(rng.normal(size=(channels, 2, *shape)))


def draw_delta(z):
    return jnp.asarray(np.random.default_rng(1).normal(size=z.shape))


@pytest.mark.parametrize("way", [by_patches, by_xla])
@pytest.mark.parametrize(("shape", "channels", "kernels", "size", "stride"), SHAPES)
def test_places_see_what_loops_see(way, shape, channels, kernels, size, stride):
    weights, images = draw(shape, channels, kernels, size)
    (top, _, rows), (left, _, columns) = (padding(n, size, stride) for n in shape)
    expected = np.zeros((kernels, 2, rows, columns))
    kernel, a = np.asarray(weights).reshape(kernels, size, size, channels), np.asarray(images)
    for o, b, y, x in np.ndindex(expected.shape):
        for i, j, c in np.ndindex(size, size, channels):
            u, v = stride * y + i - top, stride * x + j - left
            if 0 <= u < shape[0] and 0 <= v < shape[1]:
                expected[o, b, y, x] += kernel[o, i, j, c] * a[c, b, u, v]
    actual = way(size, stride).forward(weights, images)
    np.testing.assert_allclose(actual, expected, atol=1e-13)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_with_stride_1_it_is_the_correlation_of_scipy(size):
    weights, images = draw((8, 9), 2, 3, size)
    actual = by_patches(size, 1).forward(weights, images)
    kernel, images = np.asarray(weights).reshape(3, size, size, 2), np.asarray(images)
    for o, b in itertools.product(range(3), range(2)):
        expected = sum(
            scipy.signal.correlate2d(images[c, b], kernel[o, :, :, c], mode="same")
            for c in range(2)
        )
        np.testing.assert_allclose(actual[o, b], expected, atol=1e-13)


@pytest.mark.parametrize("way", [by_patches, by_xla])
@pytest.mark.parametrize(("shape", "channels", "kernels", "size", "stride"), SHAPES)
def test_pullbacks_are_central_differences(way, shape, channels, kernels, size, stride):
    """Of the sum of delta * z, which is linear in W and in a: they are exact but for rounding."""
    weights, images = draw(shape, channels, kernels, size)
    forward, pullback = map(jax.jit, way(size, stride))
    delta = draw_delta(forward(weights, images))
    gradients = pullback(weights, images, delta)
    for position, gradient in enumerate(gradients):
        arguments = [weights, images]
        direction = jnp.asarray(np.random.default_rng(2).normal(size=arguments[position].shape))
        costs = []
        for step in (1, -1):
            moved = list(arguments)
            moved[position] = arguments[position] + step * direction
            costs.append(np.vdot(delta, forward(*moved)))
        slope = (costs[0] - costs[1]) / 2
        np.testing.assert_allclose(np.vdot(gradient, direction), slope, rtol=1e-11)


@pytest.mark.parametrize(("shape", "channels", "kernels", "size", "stride"), SHAPES)
def test_both_ways_agree_with_each_other_and_with_their_own_derivatives(
    shape, channels, kernels, size, stride
):
    weights, images = draw(shape, channels, kernels, size)
    z, by_jax = jax.vjp(by_xla(size, stride).forward, weights, images)
    delta = draw_delta(z)
    for way in (by_patches(size, stride), by_xla(size, stride)):
        for actual, expected in zip(
            way.pullback(weights, images, delta), by_jax(delta), strict=True
        ):
            np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 2)])
def test_it_is_the_convolution_of_pytorch(size, stride):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    weights, images = draw((9, 9), 3, 4, size)
    theirs = torch.tensor(np.array(images.swapaxes(0, 1)), requires_grad=True)
    kernel = torch.tensor(
        np.array(weights.reshape(4, size, size, 3).transpose(0, 3, 1, 2)), requires_grad=True
    )
    z = torch.nn.functional.conv2d(theirs, kernel, stride=stride, padding=size // 2)
    forward, pullback = by_patches(size, stride)
    np.testing.assert_allclose(
        forward(weights, images).swapaxes(0, 1), z.detach().numpy(), atol=1e-12
    )
    delta = draw_delta(z)
    z.backward(torch.tensor(np.array(delta)))
    to_weights, to_images = pullback(weights, images, jnp.asarray(delta).swapaxes(0, 1))
    np.testing.assert_allclose(to_images.swapaxes(0, 1), theirs.grad.numpy(), atol=1e-12)
    expected = kernel.grad.numpy().transpose(0, 2, 3, 1).reshape(weights.shape)
    np.testing.assert_allclose(to_weights, expected, atol=1e-11)
