"""How far the gradient of every method is from reverse mode in float64."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.comparison.methods import METHODS, Trials, precision
from experiments.comparison.problem import Place, Problem


class Difference(NamedTuple):
    """One parameter array: its largest absolute difference, and that over its largest element."""

    place: Place
    method: str
    dtype: str
    array: str
    absolute: float
    relative: float


def rows(problem: Problem, trials: Trials) -> list[Difference]:
    """The differences of every trial, array by array."""
    computed = {}
    for (method, dtype), gradient in trials.items():
        with precision(dtype):
            computed[method, dtype] = jax.tree.leaves(gradient()[1])
    with precision("float64"):
        reference = jax.jit(METHODS["autodiff"].make(problem))
        expected = jax.tree.leaves(reference(*problem.arguments("float64"))[1])
    return [
        Difference(problem.place, *trial, name, *difference(actual, wanted))
        for trial, arrays in computed.items()
        for name, actual, wanted in zip(problem.parameter_names(), arrays, expected, strict=True)
    ]


def difference(actual: Any, expected: Any) -> tuple[float, float]:
    """The largest |actual - expected|, and that over the largest |expected|; 0/0 is 0."""
    expected = np.asarray(expected, np.float64)
    absolute = float(np.max(np.abs(np.asarray(actual).astype(np.float64) - expected)))
    return absolute, absolute / max(float(np.max(np.abs(expected))), np.finfo(np.float64).tiny)
