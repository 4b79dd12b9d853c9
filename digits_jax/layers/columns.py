"""Dense layers, the activation of each element, and the way from an image to columns."""

import math

from jaxtyping import Array, Float

from digits_jax.activations import Activation
from digits_jax.layers.layer import Affine, Layer, Parameters, Shape, plain


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

    return plain("dense", shapes, forward, pullback, maker=dense, takes=1)


def activation(kind: str, f: Activation) -> Layer:
    """a = f(z), element by element; dC/dz = dC/da * f'(z), the second half of BP2."""

    def forward(_: Parameters, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return f.function(z)

    def pullback(
        _: Parameters, z: Float[Array, "*shape"], delta: Float[Array, "*shape"]
    ) -> tuple[Parameters, Float[Array, "*shape"]]:
        assert f.derivative
        return (), delta * f.derivative(z)

    return plain(
        kind, lambda shape: ((), shape), forward, f.derivative and pullback, maker=f.function
    )


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

    return plain("flatten", shapes, forward, pullback, maker=flatten, takes=3)


def linear() -> Layer:
    """No activation after the layer before it."""
    return plain(
        "linear",
        lambda shape: ((), shape),
        lambda p, a: a,
        lambda p, a, delta: ((), delta),
        maker=linear,
    )
