"""Convolution of images and its derivatives by hand: as a product of patches, and by XLA's own.

    z[o, b, y, x] = sum over i, j, c of W[o, (i, j, c)] a[c, b, s y + i - t, s x + j - l]

Every s-th place of an image, in both directions, sees `size` x `size` pixels of all channels.
Beyond the edges there are zeros, t rows above, l columns to the left and as many after as it takes
for ceil(height / s) x ceil(width / s) places. Kernels are not flipped: what is called convolution
is correlation (Goodfellow, Bengio and Courville, Deep Learning, 2016, equation 9.6).
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.layers.layer import Affine, Layer, Shape, plain

Weights = Float[Array, "kernels patch"]
Images = Float[Array, "channels batch height width"]
Maps = Float[Array, "kernels batch rows columns"]


class Convolution(NamedTuple):
    """z from W and a; and from W, a and delta = dC/dz the derivatives dC/dW and dC/da."""

    forward: Callable[[Weights, Images], Maps]
    pullback: Callable[[Weights, Images, Maps], tuple[Weights, Images]]


def padding(length: int, size: int, stride: int) -> tuple[int, int, int]:
    """Zeros before and after so many pixels, and the number of places that see them."""
    places = -(-length // stride)
    missing = max((places - 1) * stride + size - length, 0)
    return missing // 2, missing - missing // 2, places


def _shifted(
    a: Images, size: int, stride: int
) -> list[Float[Array, "channels batch rows columns"]]:
    """What each of the `size` x `size` places of a window sees, row by row."""
    top, bottom, rows = padding(a.shape[2], size, stride)
    left, right, columns = padding(a.shape[3], size, stride)
    padded = jnp.pad(a, ((0, 0), (0, 0), (top, bottom), (left, right)))
    down, across = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    offsets = itertools.product(range(size), repeat=2)
    return [padded[:, :, i : i + down : stride, j : j + across : stride] for i, j in offsets]


def _folded(parts: Any, shape: tuple[int, ...], size: int, stride: int) -> Images:
    """The sum of what each place of a window sends back to where it saw it."""
    _, _, height, width = shape
    (top, _, rows), (left, _, columns) = (padding(n, size, stride) for n in (height, width))
    down, across = stride * (rows - 1) + 1, stride * (columns - 1) + 1
    whole = jnp.zeros(shape, parts[0].dtype)
    for (i, j), part in zip(itertools.product(range(size), repeat=2), parts, strict=True):
        # Back to where it was seen: zeros between its places, and around them.
        above, before = i - top, j - left
        edges = [(above, height - above - down), (before, width - before - across)]
        around = [(0, 0, 0), (0, 0, 0), *((low, high, stride - 1) for low, high in edges)]
        whole += jax.lax.pad(part, jnp.zeros((), part.dtype), around)
    return whole


def by_patches(size: int, stride: int) -> Convolution:
    """A dense layer of patches P[(i, j, c), (b, y, x)] = a[c, b, s y + i - t, s x + j - l].

        z = W P,   dC/dW = delta P^T,   dC/dP = W^T delta

    A pixel is in many patches, and gets back the sum of what each of them gets: dC/da[c, b, u, v]
    is the sum of dC/dP over all (i, j, y, x) with s y + i - t = u and s x + j - l = v (shared
    weights as in LeCun et al., Backpropagation applied to handwritten zip code recognition, 1989).
    """

    def patches(a: Images) -> Float[Array, "patch places"]:
        rows, columns = (padding(length, size, stride)[2] for length in a.shape[2:])
        seen = jnp.concatenate(_shifted(a, size, stride))
        return seen.reshape(-1, a.shape[1] * rows * columns)

    def fold(delta: Float[Array, "patch places"], shape: tuple[int, ...]) -> Images:
        rows, columns = (padding(length, size, stride)[2] for length in shape[2:])
        parts = delta.reshape(size**2, *shape[:2], rows, columns)
        return _folded(parts, shape, size, stride)

    def forward(weights: Weights, a: Images) -> Maps:
        rows, columns = (padding(length, size, stride)[2] for length in a.shape[2:])
        return (weights @ patches(a)).reshape(len(weights), a.shape[1], rows, columns)

    def pullback(weights: Weights, a: Images, delta: Maps) -> tuple[Weights, Images]:
        delta = delta.reshape(len(delta), -1)
        return delta @ patches(a).T, fold(weights.T @ delta, a.shape)

    return Convolution(forward, pullback)


def by_xla(size: int, stride: int) -> Convolution:
    """By `jax.lax.conv_general_dilated`, the derivatives being convolutions themselves.

    dC/da is that of delta, with s - 1 zeros between its places, with the flipped kernels, from
    every kernel to every channel; dC/dW that of a with delta, spread likewise, examples taking the
    place of channels (Dumoulin and Visin, A guide to convolution arithmetic for deep learning,
    2016, relationship 14; Goodfellow et al., equations 9.11 and 9.13).
    """

    def kernels(weights: Weights, channels: int) -> Float[Array, "kernels size size channels"]:
        return weights.reshape(len(weights), size, size, channels)

    def forward(weights: Weights, a: Images) -> Maps:
        return jax.lax.conv_general_dilated(
            a,
            kernels(weights, len(a)),
            window_strides=(stride, stride),
            padding=[padding(length, size, stride)[:2] for length in a.shape[2:]],
            dimension_numbers=("CNHW", "OHWI", "CNHW"),
        )

    def pullback(weights: Weights, a: Images, delta: Maps) -> tuple[Weights, Images]:
        around_a, around_delta = [], []
        for length in a.shape[2:]:
            before, _, places = padding(length, size, stride)
            spread = stride * (places - 1) + 1  # the places with the zeros between them
            around_a.append((before, size - 1 + spread - length - before))
            around_delta.append((size - 1 - before, length - spread + before))
        weights_gradient = jax.lax.conv_general_dilated(
            a,
            delta,
            window_strides=(1, 1),
            padding=around_a,
            rhs_dilation=(stride, stride),
            dimension_numbers=("NCHW", "OIHW", "CHWN"),
        )
        images_gradient = jax.lax.conv_general_dilated(
            delta,
            kernels(weights, len(a))[:, ::-1, ::-1],
            window_strides=(1, 1),
            padding=around_delta,
            lhs_dilation=(stride, stride),
            dimension_numbers=("CNHW", "IHWO", "CNHW"),
        )
        return weights_gradient.reshape(weights.shape), images_gradient

    return Convolution(forward, pullback)


def convolution(kernels: int, size: int = 3, stride: int = 1) -> Layer:
    """z = W * a + b: the same small dense layer at every `stride`-th place of an image.

    dC/db is the sum of delta over images and places; dC/dW and dC/da are derived in
    `by_patches`. A CPU multiplies patches: inside a `lax.scan`, XLA's own convolution
    takes ten times as long there (jax issue 12868). Other devices convolve.
    """
    multiplied, convolved = by_patches(size, stride), by_xla(size, stride)

    def shapes(shape: Shape) -> tuple[Shape, Shape]:
        channels, *lengths = shape
        places = (-(-length // stride) for length in lengths)
        return (kernels, size * size * channels + 1), (kernels, *places)

    def forward(
        p: Affine, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "kernels batch rows columns"]:
        z: Array = jax.lax.platform_dependent(
            p.weights, a, cpu=multiplied.forward, default=convolved.forward
        )
        return z + p.biases[:, None, None, None]

    def pullback(
        p: Affine,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "kernels batch rows columns"],
    ) -> tuple[Affine, Float[Array, "channels batch height width"]]:
        weights, to_input = jax.lax.platform_dependent(
            p.weights, a, delta, cpu=multiplied.pullback, default=convolved.pullback
        )
        return Affine(weights, delta.sum(axis=(1, 2, 3))), to_input

    numbers = (("size", size), ("stride", stride))
    return plain(
        "convolution", shapes, forward, pullback, numbers=numbers, maker=convolution, takes=3
    )


def depthwise(size: int, stride: int = 1) -> Layer:
    """z[c] = w[c] * a[c] + b[c]: a kernel for each channel (Howard et al., MobileNets, 2017).

    With a_k what the k-th place of a window sees of a (see `by_patches`),

        z = sum over k of w[:, k] a_k + b,   dC/dw[:, k] = sum of delta a_k,

    and dC/da is the sum of w[:, k] delta over k, each put back to where a_k was seen.
    """

    def shapes(shape: Shape) -> tuple[Shape, Shape]:
        channels, *lengths = shape
        return (channels, size * size + 1), (channels, *(-(-n // stride) for n in lengths))

    def scaled(w: Float[Array, "channels places"], part: Array, k: int) -> Array:
        return w[:, k, None, None, None] * part

    def forward(p: Affine, a: Images) -> Maps:
        seen = _shifted(a, size, stride)
        z = sum(scaled(p.weights, part, k) for k, part in enumerate(seen))
        return z + p.biases[:, None, None, None]

    def pullback(p: Affine, a: Images, delta: Maps) -> tuple[Affine, Images]:
        weights = [(delta * part).sum(axis=(1, 2, 3)) for part in _shifted(a, size, stride)]
        parts = [scaled(p.weights, delta, k) for k in range(size**2)]
        to_p = Affine(jnp.stack(weights, axis=1), delta.sum(axis=(1, 2, 3)))
        return to_p, _folded(parts, a.shape, size, stride)

    numbers = (("size", size), ("stride", stride))
    return plain("depthwise", shapes, forward, pullback, numbers=numbers, maker=depthwise, takes=3)
