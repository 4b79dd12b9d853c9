"""What a check has found, and how arrays are compared."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

# Of the largest element: what rounding explains in float64, and in float32.
TOLERANCE, TOLERANCE_32 = 1e-9, 1e-5
# Small programs that run once: compiling them is all that takes time.
QUICK: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
SYMBOLS = {"weights": "W", "biases": "b", "logits": "z"}
EQUATIONS = {"weights": "BP4", "biases": "BP3", "a": "BP2", "logits": "BP1"}


NOTHING_YET = "returns nothing yet: write it"


class NothingYet(Exception):
    """What was to be written returns None."""


class Finding(NamedTuple):
    """One array that was compared: where it is, which equation gives it, and what was found.

    error: the largest difference over the largest element of the right array; infinite if the
        shapes differ.
    message: why it is wrong, or a remark on what is right.
    yours, right: the arrays where they differ most.
    """

    where: str
    array: str
    equation: str
    ok: bool
    error: float
    message: str = ""
    yours: Any = None
    right: Any = None

    def __str__(self) -> str:
        far = "wrong shape" if np.isinf(self.error) else f"within {self.error:.0e}"
        head = f"{'right' if self.ok else 'WRONG'}  {self.where}, {self.array}"
        head += f" ({self.equation})" if self.equation else ""
        if self.ok:
            return f"{head}: {far}{'; ' if self.message else ''}{self.message}"
        far = "" if np.isinf(self.error) else f"off by {self.error:.0e} of the largest: "
        return f"{head}: {far}{self.message}"


class Checked(NamedTuple):
    """What a check has found; `ok` if something was checked and all of it is right."""

    name: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return bool(self.findings) and all(finding.ok for finding in self.findings)

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that are wrong."""
        return tuple(finding for finding in self.findings if not finding.ok)

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.name}:", *(f"  {line}" for line in (*self.findings, *self.notes))]
        )


def difference(yours: Any, right: Any) -> float:
    """The largest difference over the largest element of what is right; infinite for NaN."""
    yours, right = np.asarray(yours, np.float64), np.asarray(right, np.float64)
    far = np.max(np.abs(yours - right), initial=0.0)
    if not np.isfinite(far):
        return float("inf")
    return float(0.0 if far < 1e-12 else far / max(np.max(np.abs(right), initial=0.0), 1e-12))


def close(yours: Any, right: Any) -> bool:
    """Whether two arrays have the same shape and are equal but for rounding."""
    return np.shape(yours) == np.shape(right) and difference(yours, right) < tolerance(yours)


def tolerance(yours: Any) -> float:
    single = getattr(yours, "dtype", np.float64) == np.float32
    return TOLERANCE_32 if single else TOLERANCE


def leaves(tree: Any) -> dict[str, Any]:
    """The arrays of a pytree by their place in it: weights, biases; 0.weights."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        re.sub(r"[\[\]'.]+", ".", jax.tree_util.keystr(path)).strip("."): x for path, x in found
    }


def symbol(array: str) -> str:
    """How an array's derivative is written: dC/dW."""
    *place, name = array.split(".")
    return "dC/d" + ".".join([*place, SYMBOLS.get(name, name)])


def equation(maker: Callable[..., Any] | None, array: str) -> str:
    """The number of the equation that gives an array, as the docstring of the layer has it."""
    own = SYMBOLS.get(array, array)
    line = (
        re.search(rf"^ *dC/d{re.escape(own)} .*\((\w[^()]*)\)$", maker.__doc__ or "", re.MULTILINE)
        if maker
        else None
    )
    return line[1] if line else EQUATIONS.get(array, "")


def wrong_shape(array: str, yours: Any, right: Any) -> str:
    """In words, how the shape of an array differs from what is right; empty if it does not."""
    here, there = list(np.shape(yours)), list(np.shape(right))
    if here == there:
        return ""
    text = f"yours is {here}, {symbol(array).removeprefix('dC/d')} is {there}"
    if here == there[::-1]:
        values = close(np.asarray(yours).T, right)
        return f"{text}: transposed{'; its numbers are right' if values else ''}"
    if here[: len(there)] == there:
        summed = np.asarray(yours).sum(axis=tuple(range(len(there), len(here))))
        values = close(summed, right)
        return f"{text}: not summed over the batch{'; the sum is right' if values else ''}"
    return text


def side_by_side(yours: Any, right: Any, most: int = 3) -> str:
    """The elements that differ most, as text."""
    yours, right = np.asarray(yours, np.float64), np.asarray(right, np.float64)
    order = np.argsort(-np.abs(yours - right), axis=None, kind="stable")[:most]
    places = [np.unravel_index(n, yours.shape) for n in order]
    shown = [f"{list(map(int, at))} yours {yours[at]:.4g}, right {right[at]:.4g}" for at in places]
    return "; ".join(shown)


def failed(name: str, message: str) -> Checked:
    return Checked(name, (Finding(name, "pullback", "", False, float("inf"), message),))


def structure(p: Any, grads: Any) -> str:
    """In words, how dC/dp is not made like the parameters; empty if it is."""
    wanted: Any = jax.tree.structure(p)
    if wanted == jax.tree.structure(grads):
        return ""
    return f"dC/dp has to be made like the parameters: {_made(p)}; yours is {_made(grads)}"


def _made(tree: Any) -> str:
    names = leaves(tree)
    shapes = ", ".join(f"{name} {list(np.shape(x))}" for name, x in names.items())
    return f"{type(tree).__name__}({shapes})"
