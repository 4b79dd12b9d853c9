"""Which mistake turns the right array into the one that was given."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from digits_jax.checking.findings import QUICK, close, difference, leaves, side_by_side
from digits_jax.checking.mistakes import FACTORS, LOSS_MISTAKES, MISTAKES, Mistake
from digits_jax.checking.transformations import Call
from digits_jax.losses import Loss

UNKNOWN = "no mistake known here explains it"
ZEROS = "all zeros: no gradient"


def computed(function: Callable[[Call], Any], call: Call) -> Any:
    """What a function makes of a call: compiled, or as it is if JAX cannot trace it."""

    def of_arrays(p: Any, a: Any, delta: Any) -> Any:
        return function(call._replace(p=p, a=a, delta=delta))

    try:
        return jax.jit(of_arrays, compiler_options=QUICK)(call.p, call.a, call.delta)
    except Exception:  # NumPy, loops, or a mistake, which then says what it is
        return function(call)


Pair = tuple[Call, Any, Any]  # a call, the array that it gave, and the right one


def factor(pairs: Sequence[tuple[Any, Any]], sizes: Sequence[tuple[int, int]]) -> str | None:
    """In words, the number by which all arrays differ from the right ones; `None` if none does."""
    if not any(np.any(np.asarray(yours)) for yours, _ in pairs):
        return ZEROS
    for words, of in FACTORS.items():
        scaled = (
            of(*size) * np.asarray(right) for (_, right), size in zip(pairs, sizes, strict=True)
        )
        if all(close(yours, other) for (yours, _), other in zip(pairs, scaled, strict=True)):
            n, places = sizes[0]
            return words.format(n=n, places=places, both=n * places)
    ratios = [np.vdot(y, r) / max(np.vdot(r, r), 1e-300) for y, r in pairs]
    constant = np.ptp(ratios) < 1e-9 * abs(ratios[0])
    if constant and all(close(y, ratios[0] * np.asarray(r)) for y, r in pairs):
        return f"the right one multiplied by {ratios[0]:.6g}"
    return None


def explained(array: str, pairs: Sequence[Pair]) -> str:
    """The mistake that turns every right array into the one that was given, in words."""
    sizes = [(call.delta.shape[1], int(call.delta[0, 0].size)) for call, _, _ in pairs]
    by_factor = factor([(yours, right) for _, yours, right in pairs], sizes)
    call, yours, right = pairs[0]
    kinds = {kind for mistake in MISTAKES.values() for kind in mistake.kinds}
    tried = [
        (mistake, given)
        for mistake in MISTAKES.values()
        if not mistake.kinds or call.layer.kind in mistake.kinds or call.layer.kind not in kinds
        if np.shape(given := _given(mistake, array, call)) == np.shape(right)
        if not close(given, right)
    ]
    exact = [mistake for mistake, given in tried if close(yours, given)]
    multiple = [mistake for mistake, given in tried if factor([(yours, given)], sizes[:1])]
    for mistake in (*exact, *([] if by_factor else multiple)):
        every = [(theirs, _given(mistake, array, each)) for each, theirs, _ in pairs]
        if mistake in exact and all(close(*pair) for pair in every):
            return mistake.words
        found = factor(every, sizes)
        if found and found != ZEROS and not by_factor:
            return f"two mistakes: {mistake.words}; and yours is {_of_this(found)}"
    if by_factor:
        return f"yours is {by_factor}"
    _, yours, right = max(pairs, key=lambda pair: difference(pair[1], pair[2]))
    return f"{UNKNOWN}. Largest differences: {side_by_side(yours, right)}"


def _given(mistake: Mistake, array: str, call: Call) -> Any:
    """The array that a mistake gives; `None` if it is made for other layers."""
    try:
        pulled = computed(mistake.pull, call)
    except Exception:
        return None
    return pulled[1] if array == "a" else leaves(pulled[0]).get(array)


def _of_this(scaled: str) -> str:
    return scaled.replace("the right one", "what this gives")


def explained_loss(loss: Loss, logits: Any, labels: Any, yours: Any, right: Any) -> str:
    for mistake in LOSS_MISTAKES.values():
        if close(yours, mistake.derivative(loss, logits, labels)):
            return mistake.words
    if scaled := factor([(yours, right)], [(len(labels), 1)]):
        return f"yours is {scaled}"
    for mistake in LOSS_MISTAKES.values():
        given = mistake.derivative(loss, logits, labels)
        if scaled := factor([(yours, given)], [(len(labels), 1)]):
            return f"two mistakes: {mistake.words}; and yours is {_of_this(scaled)}"
    wrong = [n for n in range(right.shape[1]) if not close(yours[labels == n], right[labels == n])]
    if len(wrong) < right.shape[1]:
        where = ", ".join(map(str, wrong))
        return f"wrong where the label is {where} only. {side_by_side(yours, right)}"
    return f"{UNKNOWN}. Largest differences: {side_by_side(yours, right)}"
