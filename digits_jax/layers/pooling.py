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

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "channels batch rows columns"]:
        return _windows(a, size).max(axis=(3, 5))

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "channels batch rows columns"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        seen = _windows(a, size)
        greatest = seen == seen.max(axis=(3, 5), keepdims=True)
        share = delta[:, :, :, None, :, None] / greatest.sum(axis=(3, 5), keepdims=True)
        return (), _unwindowed(jnp.where(greatest, share, 0), a.shape)

    return plain(
        "max-pool", shapes, forward, pullback, numbers=(("size", size),), maker=max_pool, takes=3
    )


def average_pool(size: int) -> Layer:
    """The mean of every `size` x `size` pixels; what is left over at the edges is dropped.

    Each pixel of a window has the same part in its mean: dC/da = delta / size^2 for all of them
    (LeCun, Bottou, Bengio and Haffner, Gradient-based learning, 1998, section II.B).
    """
    shapes = max_pool(size).shapes

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "channels batch rows columns"]:
        return _windows(a, size).mean(axis=(3, 5))

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "channels batch rows columns"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        share = delta[:, :, :, None, :, None] / size**2
        return (), _unwindowed(jnp.broadcast_to(share, _windows(a, size).shape), a.shape)

    return plain(
        "average-pool",
        shapes,
        forward,
        pullback,
        numbers=(("size", size),),
        maker=average_pool,
        takes=3,
    )


def mean() -> Layer:
    """The mean of each channel over all places: an image as columns, a feature a channel.

    With n places, dC/da = delta / n at each (Lin, Chen and Yan, Network in network, 2014, section
    3.2: global average pooling).
    """

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "channels batch"]:
        return a.mean(axis=(2, 3))

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "channels batch"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        return (), jnp.broadcast_to(delta[:, :, None, None] / (a.shape[2] * a.shape[3]), a.shape)

    return plain("mean", lambda shape: ((), shape[:1]), forward, pullback, maker=mean, takes=3)


def last() -> Layer:
    """The last place alone, of a sequence the last step; it gets all of delta back."""

    def forward(
        _: Parameters, a: Float[Array, "channels batch height width"]
    ) -> Float[Array, "channels batch"]:
        return a[:, :, -1, -1]

    def pullback(
        _: Parameters,
        a: Float[Array, "channels batch height width"],
        delta: Float[Array, "channels batch"],
    ) -> tuple[Parameters, Float[Array, "channels batch height width"]]:
        return (), jnp.zeros_like(a).at[:, :, -1, -1].set(delta)

    return plain("last", lambda shape: ((), shape[:1]), forward, pullback, maker=last, takes=3)


def _windows(
    a: Float[Array, "channels batch height width"], size: int
) -> Float[Array, "channels batch rows down columns across"]:
    channels, batch, height, width = a.shape
    rows, columns = height // size, width // size
    whole = a[:, :, : rows * size, : columns * size]
    return whole.reshape(channels, batch, rows, size, columns, size)


def _unwindowed(
    windows: Float[Array, "channels batch rows down columns across"], shape: Shape
) -> Float[Array, "channels batch height width"]:
    """Windows back in their places; 0 where there are none."""
    rows, columns = (windows.shape[n] * windows.shape[n + 1] for n in (2, 4))
    whole = windows.reshape(*shape[:2], rows, columns)
    return jnp.pad(whole, ((0, 0), (0, 0), (0, shape[2] - rows), (0, shape[3] - columns)))
