"""Layers: each a function of parameters and input, beside its pullback derived by hand.

Examples are columns: activations are [features, batch], as in the equations. The gradient of a
matrix of weights is then a plain product of rows by columns, which XLA's CPU backend computes in
half the time that it takes with examples as rows. Where there is space they are
[channels, batch, height, width], and the same holds.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from digits_jax.activations import Activation

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
    """

    kind: str
    shapes: Callable[[Shape], tuple[Shape, Shape]]
    forward: Callable[[Parameters, Array], Array]
    pullback: Callable[[Parameters, Array, Array], tuple[Parameters, Array]] | None


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


# How a layer is written in a list of them, and what makes it.
WORDS: dict[str, Callable[..., Layer]] = {
    r"(?P<units>[1-9]\d*)": dense,
}
GRAMMAR = "a layer is a number of units, as in 30 or 128,64"


def parse(word: str) -> Layer:
    """The layer that a word names.

    Raises:
        ValueError: in one line, where it is no word of the grammar.
    """
    for pattern, make in WORDS.items():
        if found := re.fullmatch(pattern, word):
            return make(**{name: int(n) for name, n in found.groupdict().items() if n})
    raise ValueError(f"{word!r} is no layer: {GRAMMAR}")
