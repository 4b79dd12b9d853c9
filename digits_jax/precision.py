"""The precision of a network's products, the same on every device.

By default a GPU rounds the factors of float32 products to TF32 and a TPU to bfloat16. Here float32
is float32 everywhere, and whoever wants less says so.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from digits_jax.layers import Layer, residual

F = TypeVar("F", bound=Callable[..., Any])
# What a run may compute its products in, and what JAX calls the precision of float32 products then.
PRECISIONS = {"float32": "highest", "tensorfloat32": "tensorfloat32", "bfloat16": "highest"}


def pinned(precision: str) -> Callable[[F], F]:
    """A decorator of functions whose float32 products have this precision."""
    decorator: Any = jax.default_matmul_precision(PRECISIONS[precision])
    return cast(Callable[[F], F], decorator)


def computing(layer: Layer, precision: str) -> Layer:
    """The layer with its products in a precision, forward and back.

    `tensorfloat32` rounds factors on GPUs and TPUs; a CPU has nothing between it and float32.
    `bfloat16` is mixed precision: a layer with weights takes them and its input in bfloat16, and
    gives float32; normalisation, loss, parameters and optimizer stay float32 (Micikevicius et al.,
    Mixed precision training, 2018, section 3.1; bfloat16 has the range of float32, so the loss is
    not scaled).
    """
    if layer.maker is residual:
        layer = residual(*(computing(inner, precision) for inner in layer.layers))
    elif precision == "bfloat16" and layer.role != "norm":
        layer = _in_bfloat16(layer)
    exact = pinned(precision)
    return layer._replace(
        forward=exact(layer.forward), pullback=layer.pullback and exact(layer.pullback)
    )


def _in_bfloat16(layer: Layer) -> Layer:
    def forward(p: Any, state: Any, a: Any, key: Any) -> tuple[Any, Any, Any]:
        if not jax.tree.leaves(p):
            return layer.forward(p, state, a, key)
        z, kept, after = layer.forward(_cast(p), state, _cast(a), key)
        return _cast(z, a.dtype), kept, after

    def pullback(p: Any, kept: Any, delta: Any) -> tuple[Any, Any]:
        assert layer.pullback
        if not jax.tree.leaves(p):
            return layer.pullback(p, kept, delta)
        back: tuple[Any, Any] = _cast(layer.pullback(_cast(p), kept, _cast(delta)), delta.dtype)
        return back

    return layer._replace(forward=forward, pullback=layer.pullback and pullback)


def _cast(tree: Any, dtype: Any = jnp.bfloat16) -> Any:
    return jax.tree.map(lambda array: array.astype(dtype), tree)
