"""Dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from digits_jax.layers.layer import Layer


def dropout(percent: int) -> Layer:
    """Inverted dropout: z = a m / (1 - q), m being 0 with probability q = percent / 100, else 1.

    The mean of z is a, so that an evaluation has nothing to do. The mask is drawn once and kept:
    dC/da = delta m / (1 - q) (Srivastava et al., Dropout, 2014, section 10).

    Raises:
        ValueError: in one line, where nothing would be left.
    """
    if percent >= 100:
        raise ValueError(f"dropout{percent}: leaves nothing, at most dropout99")
    share = 1 - percent / 100

    def masked(a: Array, kept: Any) -> Array:
        return a if kept is None else jnp.where(kept, a / share, 0)

    def forward(_: Any, __: Any, a: Array, key: Any) -> tuple[Array, Any, Any]:
        kept = None if key is None else jax.random.bernoulli(key, share, a.shape)
        return masked(a, kept), kept, ()

    def pullback(_: Any, kept: Any, delta: Array) -> tuple[Any, Array]:
        return (), masked(delta, kept)

    return Layer(
        "dropout",
        lambda shape: ((), shape),
        forward,
        pullback,
        numbers=(("percent", percent),),
        maker=dropout,
        role="",
        draws=True,
    )
