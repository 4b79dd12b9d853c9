"""How far the gradient of every method is from reverse mode in float64."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.comparison.methods import METHODS, Trials, precision
from experiments.comparison.problem import Place, Problem


class Difference(NamedTuple):
    """The parameter array that differs most from its like, relative to its largest element."""

    place: Place
    method: str
    dtype: str
    array: str
    absolute: float
    relative: float


def rows(problem: Problem, trials: Trials) -> list[Difference]:
    """The difference of every trial, with autodiff in float64 as the reference."""
    with precision("float64"):
        reference = jax.jit(METHODS["autodiff"].make(problem))
        expected = jax.tree.leaves(reference(*problem.arguments("float64"))[1])
    found = []
    for (method, dtype), gradient in trials.items():
        with precision(dtype):
            computed = jax.tree.leaves(gradient()[1])
        arrays = zip(problem.parameter_names(), map(difference, computed, expected), strict=True)
        worst, (absolute, relative) = max(arrays, key=lambda array: array[1][1])
        found.append(Difference(problem.place, method, dtype, worst, absolute, relative))
    return found


def difference(actual: Any, expected: Any) -> tuple[float, float]:
    """The largest |actual - expected|, and that over the largest |expected|; 0/0 is 0."""
    expected = np.asarray(expected, np.float64)
    absolute = float(np.max(np.abs(np.asarray(actual).astype(np.float64) - expected)))
    return absolute, absolute / max(float(np.max(np.abs(expected))), np.finfo(np.float64).tiny)
