"""Normalisation: over a batch, over features, and by the root mean square alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.layers.layer import Layer, Shape

# Added to a variance, so that it is never 0; and the weight of a batch in the running statistics.
EPSILON, NEW = 1e-5, 0.1


class Scale(NamedTuple):
    """z = scale x + shift, feature by feature."""

    scale: Float[Array, " features"]
    shift: Float[Array, " features"]


class Gain(NamedTuple):
    """z = scale x, feature by feature."""

    scale: Float[Array, " features"]


class Statistics(NamedTuple):
    """The running mean and variance of each feature."""

    mean: Float[Array, " features"]
    variance: Float[Array, " features"]


class Normalised(NamedTuple):
    """What a normalisation keeps: x = (a - mean) / deviation, and 1 / deviation.

    `count` is the number of values that the statistics are of.
    """

    x: Array
    inverse: Array
    count: Any


def batch_norm(axis: str | None = None) -> Layer:
    """z = scale x + shift, with x = (a - m) / s: each feature, or channel, over the whole batch.

    m and s^2 are mean and variance over examples and places, so both depend on every a. With n
    values and g = scale delta (Ioffe and Szegedy, Batch normalization, 2015, section 3),

        dC/dscale = sum of delta x,   dC/dshift = sum of delta,
        dC/da = (g - mean of g - x mean of (g x)) / s,

    where "- mean of g" comes by way of m and "- x mean of (g x)" by way of s. An evaluation takes
    running statistics, which do not depend on a: n is infinite there, and both terms vanish.

    One pass: m = r + mean of (a - r) and s^2 = mean of (a - r)^2 - (m - r)^2 for any r; the running
    mean is near m, so that little cancels. Of a batch that is spread over the mesh axis `axis`
    means are those of all devices, forwards and backwards.
    """

    def over_batch(sums: Any) -> Any:
        return sums if axis is None else jax.lax.psum(sums, axis)  # type: ignore[no-untyped-call]

    def forward(p: Scale, state: Statistics, a: Array, key: Any) -> tuple[Array, Any, Statistics]:
        mean, variance, count = state.mean, state.variance, jnp.inf
        if key is not None:
            away = a - _along(state.mean, a).astype(a.dtype)
            sums = over_batch((_sums(away), _sums(away**2), a[0].size))
            count = sums[2]
            off = sums[0] / count
            mean, variance = state.mean + off, jnp.maximum(sums[1] / count - off**2, 0)
            fresh = Statistics(mean, variance * count / jnp.maximum(count - 1, 1))
            state = jax.tree.map(lambda s, m: (s + NEW * (m - s)).astype(s.dtype), state, fresh)
        inverse = _along(jax.lax.rsqrt(variance + EPSILON), a).astype(a.dtype)
        x = (a - _along(mean, a).astype(a.dtype)) * inverse
        return _along(p.scale, a) * x + _along(p.shift, a), Normalised(x, inverse, count), state

    def pullback(p: Scale, kept: Normalised, delta: Array) -> tuple[Scale, Array]:
        x, inverse, count = kept
        to_p = Scale(_sums(delta * x), _sums(delta))
        scale, shift = (_along(total, x) / count for total in over_batch(to_p))
        return to_p, _along(p.scale, x) * inverse * (delta - shift - x * scale)

    return _layer(
        "batch-norm",
        forward,
        pullback,
        maker=batch_norm,
        state=lambda shape: Statistics(jnp.zeros(shape[0]), jnp.ones(shape[0])),
        over=batch_norm,
    )


def layer_norm() -> Layer:
    """z = scale x + shift, with x = (a - m) / s over the features of each example, at each place.

    As batch norm with the means m over features, so that scale comes before them: with
    g = scale delta (Ba, Kiros and Hinton, Layer normalization, 2016, equation 4),

        dC/dscale = sum of delta x,   dC/dshift = sum of delta,
        dC/da = (g - mean of g - x mean of (g x)) / s.
    """

    def forward(p: Scale, _: Any, a: Array, key: Any) -> tuple[Array, Any, Any]:
        away = a - a.mean(axis=0, keepdims=True)
        inverse = jax.lax.rsqrt((away**2).mean(axis=0, keepdims=True) + EPSILON)
        x = away * inverse
        kept = Normalised(x, inverse, len(a))
        return _along(p.scale, a) * x + _along(p.shift, a), kept, ()

    def pullback(p: Scale, kept: Normalised, delta: Array) -> tuple[Scale, Array]:
        x, inverse, _ = kept
        g = _along(p.scale, x) * delta
        by_mean, by_deviation = (v.mean(axis=0, keepdims=True) for v in (g, g * x))
        return Scale(_sums(delta * x), _sums(delta)), inverse * (g - by_mean - x * by_deviation)

    return _layer("layer-norm", forward, pullback, maker=layer_norm)


def rms_norm() -> Layer:
    """z = scale x, with x = a / s and s^2 the mean of a^2 over the features at each place.

    With g = scale delta (Zhang and Sennrich, Root mean square layer normalization, 2019, eq. 4),

        dC/dscale = sum of delta x,   dC/da = (g - x mean of (g x)) / s.
    """

    def forward(p: Gain, _: Any, a: Array, key: Any) -> tuple[Array, Any, Any]:
        inverse = jax.lax.rsqrt((a**2).mean(axis=0, keepdims=True) + EPSILON)
        x = a * inverse
        return _along(p.scale, a) * x, Normalised(x, inverse, len(a)), ()

    def pullback(p: Gain, kept: Normalised, delta: Array) -> tuple[Gain, Array]:
        x, inverse, _ = kept
        g = _along(p.scale, x) * delta
        return Gain(_sums(delta * x)), inverse * (g - x * (g * x).mean(axis=0, keepdims=True))

    def make(initializer: Any, noise: Any, shape: Shape) -> Gain:
        return Gain(jnp.ones(shape[0]))

    return _layer("rms-norm", forward, pullback, maker=rms_norm, make=make)


def _layer(kind: str, forward: Any, pullback: Any, **others: Any) -> Layer:
    """A normalisation: its output has the shape of its input, its parameters take no noise."""

    def ones_and_zeros(initializer: Any, noise: Any, shape: Shape) -> Scale:
        return Scale(jnp.ones(shape[0]), jnp.zeros(shape[0]))

    made = {"make": ones_and_zeros} | others
    return Layer(kind, lambda shape: ((), shape), forward, pullback, role="norm", **made)


def _along(values: Float[Array, " features"], a: Array) -> Array:
    """Values of features, to be multiplied with each example and place."""
    return values.reshape(-1, *[1] * (a.ndim - 1))


def _sums(a: Array) -> Float[Array, " features"]:
    """The sum of each feature over examples and places."""
    return a.sum(axis=tuple(range(1, a.ndim)))
