"""The time of a gradient and of a training step, with the forward pass as the unit."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from experiments.cli.timing import Timing, interleaved, measure, summarise
from experiments.comparison import methods
from experiments.comparison.methods import METHODS, Trials
from experiments.comparison.problem import Place, Problem

# Everything is measured in turn, so often.
ROUNDS = 3
FORWARD, GRADIENT, STEP = "forward pass", "gradient", "training step"


class Cost(NamedTuple):
    """The median time of a call in seconds, that of the fastest and the slowest round, and n calls.

    The forward pass is the loss alone, compiled by XLA, in the same type; the ratio is to it.
    """

    place: Place
    method: str
    dtype: str
    what: str
    seconds: float
    fastest: float
    slowest: float
    n: int
    ratio: float


def rows(problem: Problem, trials: Trials, dtypes: Sequence[str], seconds: float) -> list[Cost]:
    """The gradient of every method, in the first of `dtypes` that it runs in, and its update.

    Each is measured for so many seconds. The update of a method that takes a pass for every
    parameter is left out: it takes no longer.
    """
    functions: dict[tuple[str, str, str], Callable[[], Any]] = {}
    for (name, dtype), gradient in trials.items():
        method = METHODS[name]
        if dtype == next(known for known in dtypes if known in method.dtypes):
            functions.setdefault((FORWARD, dtype, FORWARD), methods.forward_pass(problem, dtype))
            functions[name, dtype, GRADIENT] = gradient
            if not method.passes and methods.can_train(name, problem.config):
                value_and_grad = method.make(problem)
                step, arguments = methods.training_step(
                    problem, value_and_grad, dtype, method.compiled
                )
                step = jax.jit(step) if method.compiled else step
                functions[name, dtype, STEP] = methods.ready(step, *arguments)

    def timed(function: Callable[[], Any], dtype: str) -> Timing:
        with methods.precision(dtype):
            return measure(function, seconds / ROUNDS, least=2)

    measures = {key: functools.partial(timed, functions[key], key[1]) for key in functions}
    for key, function in functions.items():
        with methods.precision(key[1]):
            function()  # compiles
    timings, _ = interleaved(measures, ROUNDS)
    times = {key: summarise([t.seconds for t in rounds]) for key, rounds in timings.items()}
    calls = {key: sum(timing.n for timing in rounds) for key, rounds in timings.items()}
    unit = {key[1]: time.median for key, time in times.items() if key[2] == FORWARD}
    return [
        Cost(problem.place, *key, *time[:3], calls[key], time.median / unit[key[1]])
        for key, time in times.items()
    ]
