"""What a derivative is compared with: reverse mode, central differences, what is near a kink."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from digits_jax.checking.explanations import computed
from digits_jax.checking.findings import QUICK, leaves
from digits_jax.checking.transformations import Call
from digits_jax.layers import Layer

# Of central differences, along a direction; and their step.
TOLERANCE_OF_DIFFERENCES, STEP = 1e-5, 1e-5


def reverse_mode(call: Call) -> tuple[Any, Any]:
    """By reverse mode; if the forward is not written in JAX, by central differences."""
    try:
        pulled: tuple[Any, Any] = computed(Call.right, call)
        return pulled
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
        found = {array: by_differences(call, array) for array in [*leaves(call.p), "a"]}
        return jax.tree.unflatten(jax.tree.structure(call.p), list(found.values())[:-1]), found["a"]


def _moved(call: Call, array: str, change: Any) -> Call:
    """The call with a change added to one of its arrays."""
    if array == "a":
        return call._replace(a=call.a + change)
    flat = [x + change if name == array else x for name, x in leaves(call.p).items()]
    return call._replace(p=jax.tree.unflatten(jax.tree.structure(call.p), flat))


def slope(call: Call, array: str, v: Any, output: Callable[[Call], Any] = Call.output) -> float:
    """The derivative of <delta, output> along v, by central differences."""
    high, low = (np.vdot(call.delta, output(_moved(call, array, h * v))) for h in (STEP, -STEP))
    return float(high - low) / (2 * STEP)


def by_differences(call: Call, array: str) -> Any:
    """The whole derivative by central differences, an element at a time."""
    like = np.zeros(np.shape(call.a if array == "a" else leaves(call.p)[array]))
    found = np.zeros_like(like)
    for place in np.ndindex(like.shape):
        v = like.copy()
        v[place] = 1
        found[place] = slope(call, array, v)
    return found


def agrees_with_differences(call: Call, array: str, derivative: Any) -> bool:
    """Whether a derivative is that of central differences, along three random directions."""
    rng = np.random.default_rng(1)
    vs = [rng.normal(size=np.shape(derivative)) for _ in range(3)]
    seen = np.array([[np.vdot(derivative, v), slope(call, array, v, _output)] for v in vs])
    far = np.median(np.abs(seen[:, 0] - seen[:, 1]))
    return bool(far <= TOLERANCE_OF_DIFFERENCES * max(np.abs(seen).max(), 1e-3))


def _output(call: Call) -> Any:
    try:
        return _compiled_forward(call.layer)(call.p, call.state, call.a, call.key)
    except Exception:  # it is not written in JAX
        return call.output()


@functools.lru_cache(maxsize=8)
def _compiled_forward(layer: Layer) -> Callable[..., Any]:
    return jax.jit(lambda *given: layer.forward(*given)[0], compiler_options=QUICK)


def is_subgradient(call: Call, array: str, yours: Any) -> bool:
    """Whether an array lies among the derivatives around a point, where there is a kink or a tie.

    Element by element, and in sum over each image and channel of the input.
    """
    if array != "a":
        return False
    rng, like = np.random.default_rng(2), np.ones(call.a.shape)
    moves = [like, -like, *(rng.normal(size=call.a.shape) for _ in range(40))]
    right = jax.jit(lambda a: call._replace(a=a).right()[1], compiler_options=QUICK)
    near = np.array([right(call.a + 1e-7 * move) for move in moves])
    for seen, own in ((near, np.asarray(yours)), (_summed(near), _summed(np.asarray(yours)))):
        if np.any(own < seen.min(0) - 1e-5) or np.any(own > seen.max(0) + 1e-5):
            return False
    return True


def _summed(x: Any) -> Any:
    return x.sum(axis=(-2, -1)) if x.ndim >= 4 else x
