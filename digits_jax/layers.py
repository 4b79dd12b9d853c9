"""Layers: each a function of parameters and input, beside its pullback derived by hand.

Examples are columns: activations are [features, batch], as in the equations. The gradient of a
matrix of weights is then a plain product of rows by columns, which XLA's CPU backend computes in
half the time that it takes with examples as rows. Where there is space they are
[channels, batch, height, width], and the same holds.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.activations import Activation
from digits_jax.convolution import by_patches, by_xla

# Of a single example, without the batch: (features,) or (channels, height, width).
Shape = tuple[int, ...]


class Affine(NamedTuple):
    """The parameters of a map z = W x + b: of a dense layer, and of a convolution."""

    weights: Float[Array, "out fan_in"]
    biases: Float[Array, " out"]


# `Affine`, or () for a layer without parameters.
Parameters = Any


class Layer(NamedTuple):
    """A function a -> forward(p, a), and its derivative read backwards.

    kind: what it is, for those who draw or export a network.
    shapes: of its input to those of the normal noise that its parameters are made from, a row
        [fan-in + 1] for each output, or () where it has none; and of its output.
    forward: the output, from parameters and input.
    pullback: (p, a, delta) -> (dC/dp, dC/da), delta being dC/d(output); `None` where nobody derived
        one.
    numbers: what else an exporter has to know.
    """

    kind: str
    shapes: Callable[[Shape], tuple[Shape, Shape]]
    forward: Callable[[Parameters, Array], Array]
    pullback: Callable[[Parameters, Array, Array], tuple[Parameters, Array]] | None
    numbers: tuple[tuple[str, int], ...] = ()


def dense(units: int) -> Layer:
    """z = W a + b.

    With delta = dC/dz, for a batch of columns (Rumelhart, Hinton and Williams, 1986; numbered as in
    Nielsen, 2015, chapter 2):

        dC/dW = delta a^T                (BP4)
        dC/db = sum of delta's columns   (BP3)
        dC/da = W^T delta                (the first half of BP2)
    """

    def shapes(features: Shape) -> tuple[Shape, Shape]:
        return (units, math.prod(features) + 1), (units,)

    def forward(p: Affine, a: Float[Array, "in batch"]) -> Float[Array, "out batch"]:
        return p.weights @ a + p.biases[:, None]

    def pullback(
        p: Affine, a: Float[Array, "in batch"], delta: Float[Array, "out batch"]
    ) -> tuple[Affine, Float[Array, "in batch"]]:
        return Affine(weights=delta @ a.T, biases=delta.sum(axis=1)), p.weights.T @ delta

    return Layer("dense", shapes, forward, pullback)


def activation(kind: str, f: Activation) -> Layer:
    """a = f(z), element by element; dC/dz = dC/da * f'(z), the second half of BP2."""

    def forward(_: Parameters, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return f.function(z)

    def pullback(
        _: Parameters, z: Float[Array, "*shape"], delta: Float[Array, "*shape"]
    ) -> tuple[Parameters, Float[Array, "*shape"]]:
        assert f.derivative
        return (), delta * f.derivative(z)

    return Layer(kind, lambda shape: ((), shape), forward, f.derivative and pullback)


def flatten() -> Layer:
    """From space to columns, channel by channel, row by row; back the same way."""

    def shapes(shape: Shape) -> tuple[Shape, Shape]:
        return (), (math.prod(shape),)

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "features batch"]:
        return a.swapaxes(0, 1).reshape(a.shape[1], -1).T

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "features batch"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        channels, batch, height, width = a.shape
        return (), delta.T.reshape(batch, channels, height, width).swapaxes(0, 1)

    return Layer("flatten", shapes, forward, pullback)


def convolution(kernels: int, size: int = 3, stride: int = 1) -> Layer:
    """z = W * a + b: the same small dense layer at every `stride`-th place of an image.

    dC/db is the sum of delta over images and places; dC/dW and dC/da are derived in
    `digits_jax.convolution`. A CPU multiplies patches: inside a `lax.scan`, XLA's own convolution
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

    return Layer("convolution", shapes, forward, pullback, (("size", size), ("stride", stride)))


def max_pool(size: int) -> Layer:
    """The greatest of every `size` x `size` pixels; what is left over at the edges is dropped.

    Only the greatest pixel has a part in the output, and gets all of delta back (Goodfellow, Bengio
    and Courville, Deep Learning, 2016, section 9.3). Where several are the greatest, each gets the
    same share of it, as by `jax.grad` of a maximum.
    """

    def shapes(shape: Shape) -> tuple[Shape, Shape]:
        channels, height, width = shape
        if min(height, width) < size:
            raise ValueError(f"max{size}: leaves nothing of an image of {height} x {width}")
        return (), (channels, height // size, width // size)

    def windows(
        a: Float[Array, "channels batch height width"],
    ) -> Float[Array, "channels batch rows down columns across"]:
        channels, batch, height, width = a.shape
        rows, columns = height // size, width // size
        whole = a[:, :, : rows * size, : columns * size]
        return whole.reshape(channels, batch, rows, size, columns, size)

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "channels batch rows columns"]:
        return windows(a).max(axis=(3, 5))

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "channels batch rows columns"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        seen = windows(a)
        greatest = seen == seen.max(axis=(3, 5), keepdims=True)
        share = delta[:, :, :, None, :, None] / greatest.sum(axis=(3, 5), keepdims=True)
        rows, columns = delta.shape[2] * size, delta.shape[3] * size
        shared = jnp.where(greatest, share, 0).reshape(*a.shape[:2], rows, columns)
        edges = ((0, 0), (0, 0), (0, a.shape[2] - rows), (0, a.shape[3] - columns))
        return (), jnp.pad(shared, edges)

    return Layer("max-pool", shapes, forward, pullback, (("size", size),))


# How a layer is written in a list of them, and what makes it.
WORDS: dict[str, Callable[..., Layer]] = {
    r"(?P<units>[1-9]\d*)": dense,
    r"conv(?P<kernels>[1-9]\d*)(x(?P<size>[1-9]\d*))?(/(?P<stride>[1-9]\d*))?": convolution,
    r"max(?P<size>[1-9]\d*)": max_pool,
}
GRAMMAR = (
    "30 (units of a dense layer), conv24x5/2 (24 kernels of 5 x 5, stride 2; x3 and /1 where not "
    "given) or max2 (max-pool of 2 x 2)"
)


def parse(words: Sequence[str | int]) -> list[Layer]:
    """The layers that a list of words names, in a network.

    Raises:
        ValueError: in one line, where one is no word of the grammar, or needs an image and comes
            after a dense layer.
    """
    network: list[Layer] = []
    for word in map(str, words):
        for pattern, make in WORDS.items():
            if found := re.fullmatch(pattern, word):
                numbers = {name: int(n) for name, n in found.groupdict().items() if n}
                network.append(make(**numbers))
                break
        else:
            raise ValueError(f"{word!r} is no layer: expected {GRAMMAR}")
        looks = "size" in dict(network[-1].numbers)  # through a window
        if looks and "dense" in (layer.kind for layer in network):
            raise ValueError(f"{word} needs an image, and comes after a dense layer")
    return network
