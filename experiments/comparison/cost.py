"""Table 4: the time of a gradient and of a training step, with the forward pass as the unit."""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.comparison.methods import (
    METHODS,
    Timing,
    Trial,
    measure,
    precision,
    training_step,
)


class Row(NamedTuple):
    """Median times in seconds of `n` calls each, and their ratio to the forward pass.

    `None` where the method is left out, for the reason in `note`.
    """

    network: str
    batch_size: int
    parameters: int
    method: str
    dtype: str
    forward_seconds: float
    gradient_seconds: float | None
    gradient_ratio: float | None
    gradient_n: int | None
    step_seconds: float | None
    step_ratio: float | None
    step_n: int | None
    note: str


def rows(
    trials: Sequence[Trial], dtypes: Sequence[str], seconds: float, warm: bool = False
) -> list[Row]:
    """A row for every method, in the first of `dtypes` that it runs in.

    Args:
        trials: those of one problem.
        dtypes: in order of preference.
        seconds: for each of the measurements.
        warm: whether every trial's gradient was called before.
    """
    return [_row(trial, seconds, warm) for trial in trials if trial.dtype == _dtype(trial, dtypes)]


def _dtype(trial: Trial, dtypes: Sequence[str]) -> str:
    possible = METHODS[trial.method].dtypes
    return next((dtype for dtype in dtypes if dtype in possible), dtypes[0])


def _row(trial: Trial, seconds: float, warm: bool) -> Row:
    problem, forward = trial.problem, trial.forward_seconds
    key = problem.network, problem.config.batch_size, problem.parameters, trial.method, trial.dtype
    if trial.note:
        return Row(*key, forward, None, None, None, None, None, None, trial.note)

    def ratio(timing: Timing) -> tuple[float, float, int]:
        return timing.median, timing.median / forward, timing.n

    with precision(trial.dtype):
        gradient = measure(trial.gradient, seconds, warm)
        step = measure(training_step(trial), seconds)
    return Row(*key, forward, *ratio(gradient), *ratio(step), "")
