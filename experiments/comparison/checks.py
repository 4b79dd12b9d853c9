"""Which check catches which mistake: the gradient check, the loss curve, the accuracy."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from digits_jax.checking.mistakes import LOSS_MISTAKES, MISTAKES, STUDIED, planted
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import Metrics, make_evaluate
from digits_jax.gradients import ValueAndGrad, autodiff, manual
from digits_jax.models import Params
from digits_jax.training import TrainState
from experiments.comparison.exactness import difference
from experiments.comparison.methods import precision, training_step
from experiments.comparison.problem import Problem, batch_rows, make_problem

NONE = "none"
FAULTS = {NONE: "no mistake"} | {n: (LOSS_MISTAKES | MISTAKES)[n].words for n in STUDIED}
CHECKS = ("gradient check", "loss curve", "test accuracy")
# The gradient check: what it tolerates, of the largest element of an array.
AUTODIFF, TOLERANCE = "autodiff", 1e-9
# The loss curve: the share of the loss at the start by which it has to fall.
FALL = 0.1
# Steps over which it is averaged, or half of those there are.
WINDOW = 50


class Verdict(NamedTuple):
    """A mistake, what three checks see of it, and which of them catch it, with "; " between.

    The gradient check sees a disagreement, most of it in `worst_array`; the loss curve the means of
    the first and the last `WINDOW` steps; accuracy that on the test split, over `n` seeds.
    """

    fault: str
    disagreement: float
    worst_array: str
    first_loss: float
    last_loss: float
    accuracy: float
    accuracy_deviation: float
    n: int
    caught_by: str


class CurvePoint(NamedTuple):
    """The training loss of the `WINDOW` steps that end at `step`, mean over the seeds."""

    fault: str
    step: int
    loss: float


def mistaken(problem: Problem, faults: Iterable[str]) -> dict[str, ValueAndGrad]:
    """`manual` without a mistake, and with each of those that the network has a place for.

    Raises:
        ValueError: if a layer has no derivative written by hand.
    """
    right = problem.model, problem.loss
    found = {NONE: manual(*right)}
    for fault in faults:
        if fault != NONE and (wrong := planted(fault, *right)):
            found[fault] = manual(*wrong)
    return found


def gradient_check(
    problem: Problem, gradients: Mapping[str, ValueAndGrad]
) -> dict[str, dict[str, float]]:
    """How far each gradient is from `jax.grad`, for each parameter array, in float64."""
    every = {AUTODIFF: autodiff(problem.model, problem.loss), **gradients}
    with precision("float64"):
        arguments = problem.arguments("float64")
        computed = {
            name: jax.tree.leaves(jax.jit(gradient)(*arguments)[1])
            for name, gradient in every.items()
        }
    right, names = computed.pop(AUTODIFF), problem.parameter_names()
    return {
        name: {n: difference(y, r)[1] for n, y, r in zip(names, yours, right, strict=True)}
        for name, yours in computed.items()
    }


def _train(
    problems: Sequence[Problem],
    splits: Splits,
    value_and_grad: ValueAndGrad,
    evaluate: Callable[[Params, Dataset], Metrics],
) -> tuple[Any, Any]:
    """A training from each problem: losses of its steps [n, steps], its test accuracy [n]."""
    train_step, (numbers, *_) = training_step(problems[0], value_and_grad, "float32")

    @jax.jit
    def run(state: TrainState, train: Dataset, batches: Array) -> tuple[TrainState, Array]:
        def step(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
            batch = Dataset(train.images[rows], train.labels[rows])
            state, metrics = train_step(numbers, state, batch)
            return state, metrics.loss

        return jax.lax.scan(step, state, batches)

    train = jax.device_put(splits.train)
    losses, accuracies = [], []
    for problem in problems:
        _, (_, start, _) = training_step(problem, value_and_grad, "float32")
        state, found = run(start, train, batch_rows(problem.config, problem.config.total_steps))
        losses.append(np.asarray(found))
        accuracies.append(float(evaluate(state.judged, splits.test).accuracy))
    return np.stack(losses), np.array(accuracies)


def rows(
    problem: Problem, splits: Splits, faults: Sequence[str], epochs: int, seeds: int
) -> tuple[list[Verdict], list[CurvePoint]]:
    """Trains with the right gradient and with each mistake, and puts the checks to them.

    A gradient check catches a disagreement above `TOLERANCE`; a loss curve, a loss that falls by
    less than `FALL` of it; accuracy, a mistake with which every run is worse than every right one.
    """
    warmup = min(problem.config.warmup_epochs, epochs / 2)
    config = dataclasses.replace(problem.config, epochs=epochs, warmup_epochs=warmup)
    seeded = [dataclasses.replace(config, seed=config.seed + n) for n in range(seeds)]
    problems = [make_problem(each, splits) for each in seeded]
    evaluate = jax.jit(make_evaluate(problem.model, problem.loss))
    window = max(1, min(WINDOW, config.total_steps // 2))
    gradients = mistaken(problem, faults)
    verdicts: list[Verdict] = []
    curves: list[CurvePoint] = []
    worst_right = 0.0
    for fault, disagreements in gradient_check(problem, gradients).items():
        array, disagreement = max(disagreements.items(), key=lambda item: item[1])
        losses, accuracies = _train(problems, splits, gradients[fault], evaluate)
        worst_right = accuracies.min() if fault == NONE else worst_right
        first, last = float(losses[:, :window].mean()), float(losses[:, -window:].mean())
        mean, deviation = float(accuracies.mean()), float(accuracies.std(ddof=min(1, seeds - 1)))
        caught = (
            disagreement > TOLERANCE,
            not last < (1 - FALL) * first,
            accuracies.max() < worst_right,
        )
        caught_by = "; ".join(itertools.compress(CHECKS, caught))
        seen = disagreement, array, first, last, mean, deviation
        verdicts.append(Verdict(fault, *seen, seeds, caught_by))
        ends = range(window, losses.shape[1] + 1, window)
        means = [float(losses[:, end - window : end].mean()) for end in ends]
        curves += map(CurvePoint, itertools.repeat(fault), ends, means)
    return verdicts, curves
