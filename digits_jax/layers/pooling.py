"""Layers that summarise the places of an image: its windows, or all of it."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.layers.layer import Layer, Parameters, Shape, plain


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

    return plain(
        "max-pool", shapes, forward, pullback, numbers=(("size", size),), maker=max_pool, takes=3
    )
