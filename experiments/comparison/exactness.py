"""Table 1: how far the gradient of every method is from reverse mode in float64."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.comparison.methods import METHODS, Trial, precision
from experiments.comparison.problem import Problem


class Row(NamedTuple):
    """One parameter array: its largest absolute difference, and that over its largest element.

    `None` where the method is left out, for the reason in `note`.
    """

    network: str
    batch_size: int
    parameters: int
    method: str
    dtype: str
    array: str
    absolute: float | None
    relative: float | None
    note: str


def rows(problem: Problem, trials: Sequence[Trial]) -> list[Row]:
    """The differences of every trial, array by array."""
    expected = _reference(problem, trials)
    key = problem.network, problem.config.batch_size, problem.parameters
    found = []
    for trial in trials:
        named = (*key, trial.method, trial.dtype)
        if trial.note:
            found.append(Row(*named, "", None, None, trial.note))
            continue
        with precision(trial.dtype):
            _, actual = trial.gradient()
        for index, (layer, expected_layer) in enumerate(zip(actual, expected, strict=True)):
            for field in layer._fields:
                absolute, relative = difference(
                    getattr(layer, field), getattr(expected_layer, field)
                )
                found.append(Row(*named, f"{field} {index + 1}", absolute, relative, ""))
    return found


def _reference(problem: Problem, trials: Sequence[Trial]) -> Any:
    with precision("float64"):
        for trial in trials:
            if (trial.method, trial.dtype) == ("autodiff", "float64"):
                return trial.gradient()[1]
        value_and_grad = jax.jit(METHODS["autodiff"].make(problem.config, problem.model))
        return value_and_grad(*problem.arguments("float64", True))[1]


def difference(actual: Any, expected: Any) -> tuple[float, float]:
    """The largest |actual - expected|, and that over the largest |expected|; 0/0 is 0."""
    expected = np.asarray(expected, np.float64)
    absolute = float(np.max(np.abs(np.asarray(actual).astype(np.float64) - expected)))
    return absolute, absolute / max(float(np.max(np.abs(expected))), np.finfo(np.float64).tiny)
