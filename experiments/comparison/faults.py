"""What back-propagation by hand teaches: classic mistakes, and which check catches which."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from digits_jax.activations import ACTIVATIONS, Activation
from digits_jax.config import hyperparameters
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import Metrics, make_evaluate
from digits_jax.gradients import MeanLoss, ValueAndGrad, make_mean_loss
from digits_jax.losses import LOSSES, Loss
from digits_jax.models import Layer, Params, affine
from digits_jax.training import TrainState, make_training
from experiments.comparison.methods import precision, start
from experiments.comparison.problem import Problem, batch_rows, make_problem

FAULTS = {
    "activation_derivative": "BP2 forgets the factor f'(z)",
    "batch_mean": "BP1 forgets to divide by the batch size",
    "transposed_weights": "BP2 reads the weights as if stored [in, out]",
    "bias_sum": "BP3 takes the first image instead of the sum over the batch",
    "off_by_one": "the loop over layers ends one early: layer 1 gets no gradient",
}
NONE = "none"

# The gradient check: directions for each parameter array, and the disagreement that it tolerates.
DIRECTIONS = 10
TOLERANCE = 1e-5
# The loss curve: the share of the loss at the start by which it has to fall.
FALL = 0.1
# Steps over which it is averaged, or half of those there are.
WINDOW = 50


class Row(NamedTuple):
    """A mistake and what three checks say of it; the row `none` is the right gradient.

    `disagreement` is that of the gradient check, in the parameter array `worst_array`; losses are
    means over the first and the last `WINDOW` steps; accuracies over `n` seeds, on the test split.
    """

    fault: str
    mistake: str
    disagreement: float
    worst_array: str
    caught_by_gradient_check: bool
    first_loss: float
    last_loss: float
    caught_by_loss_curve: bool
    accuracy: float
    accuracy_deviation: float
    caught_by_accuracy: bool
    epochs: int
    n: int


class CurveRow(NamedTuple):
    """The training loss of the `WINDOW` steps that end at `step`, mean over the seeds."""

    fault: str
    step: int
    loss: float


def faulty(activation: Activation, loss: Loss, fault: str) -> ValueAndGrad:
    """A copy of `digits_jax.gradients.manual` with one mistake, a key of `FAULTS`, or `none`.

    Raises:
        ValueError: where the activation has no derivative written by hand.
    """
    f, f_prime = activation
    if f_prime is None:
        raise ValueError("this activation has no derivative written by hand")

    def bias_gradient(delta: Float[Array, "out batch"]) -> Float[Array, " out"]:
        return delta[:, 0] if fault == "bias_sum" else delta.sum(axis=1)

    def value_and_grad(
        params: Params, images: Float[Array, "batch height width"], labels: Int[Array, " batch"]
    ) -> tuple[Float[Array, ""], Params]:
        *hidden, output = params
        a = [images.reshape(len(images), -1).T]
        z = []
        for layer in hidden:
            z.append(affine(layer, a[-1]))
            a.append(f(z[-1]))
        logits = affine(output, a[-1]).T
        value = jnp.mean(loss.function(logits, labels))

        delta = loss.derivative(logits, labels).T  # BP1
        if fault != "batch_mean":
            delta = delta / len(labels)
        grads = [Layer(weights=delta @ a[-1].T, biases=bias_gradient(delta))]
        for l in reversed(range(len(hidden))):
            weights = params[l + 1].weights
            if fault == "transposed_weights":
                # The numbers row by row in the other order: a shape check finds nothing.
                weights = weights.T.reshape(weights.shape)
            delta = weights.T @ delta  # BP2
            if fault != "activation_derivative":
                delta = delta * f_prime(z[l])
            if fault == "off_by_one" and l == 0:
                grads.append(jax.tree.map(jnp.zeros_like, params[0]))
            else:
                grads.append(Layer(weights=delta @ a[l].T, biases=bias_gradient(delta)))
        return value, tuple(reversed(grads))

    return value_and_grad


def gradient_check(
    problem: Problem, mean_loss: MeanLoss, value_and_grad: ValueAndGrad
) -> dict[str, float]:
    """How far a gradient is from central differences, for each parameter array, in float64.

    Both are taken along the same random directions v of unit length, in one array each: <g, v>
    beside (C(theta + h v) - C(theta - h v)) / 2h. The disagreement is the length of the difference
    over the greater of the two lengths; about 1e-8 for a right gradient, near 1 for a wrong one.
    """
    generator = np.random.default_rng(problem.config.seed)
    h = float(np.finfo(np.float64).eps) ** (1 / 3)
    leaves, structure = jax.tree.flatten(problem.params)
    data = problem.images, problem.labels
    names = [f"{field} {l + 1}" for l in range(len(problem.params)) for field in Layer._fields]
    disagreements = {}
    with precision("float64"):
        gradient = jax.tree.leaves(jax.jit(value_and_grad)(problem.params, *data)[1])
        for position, name in enumerate(names):

            def cost(array: Any, position: int = position) -> float:
                changed = [*leaves[:position], array, *leaves[position + 1 :]]
                return float(mean_loss(jax.tree.unflatten(structure, changed), *data))

            theta, g = leaves[position], np.asarray(gradient[position])
            by_gradient, by_differences = np.empty((2, DIRECTIONS))
            for i in range(DIRECTIONS):
                v = generator.normal(size=theta.shape)
                v /= np.linalg.norm(v)
                by_gradient[i] = np.vdot(g, v)
                by_differences[i] = (cost(theta + h * v) - cost(theta - h * v)) / (2 * h)
            longer = max(np.linalg.norm(by_gradient), np.linalg.norm(by_differences))
            disagreements[name] = float(np.linalg.norm(by_gradient - by_differences) / longer)
    return disagreements


def _train(
    problems: Sequence[Problem],
    splits: Splits,
    value_and_grad: ValueAndGrad,
    evaluate: Callable[[Params, Dataset], Metrics],
) -> tuple[Any, Any]:
    """A training from each problem: losses of its steps [n, steps], its test accuracy [n]."""
    config = problems[0].config
    training = make_training(config, splits.image_shape, splits.num_classes, value_and_grad)
    numbers = hyperparameters(config)

    @jax.jit
    def run(state: TrainState, train: Dataset, rows: Array) -> tuple[TrainState, Array]:
        def step(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
            batch = Dataset(train.images[rows], train.labels[rows])
            state, metrics = training.train_step(numbers, state, batch)
            return state, metrics.loss

        return jax.lax.scan(step, state, rows)

    train = jax.device_put(splits.train)
    losses, accuracies = [], []
    for problem in problems:
        params, _, _ = problem.arguments("float32", compiled=True)
        rows = batch_rows(problem.config, config.total_steps).astype(np.int32)
        state, found = run(start(training, config, params), train, rows)
        losses.append(np.asarray(found))
        accuracies.append(float(evaluate(state.params, splits.test).accuracy))
    return np.stack(losses), np.array(accuracies)


def rows(
    problem: Problem, splits: Splits, faults: Sequence[str], epochs: int, seeds: int
) -> tuple[list[Row], list[CurveRow]]:
    """Trains with the right gradient and with each mistake, and puts the checks to them.

    A gradient check catches a disagreement above `TOLERANCE`; a loss curve, a loss that falls by
    less than `FALL` of it; accuracy, a mistake with which every run is worse than every right one.

    Args:
        problem: where gradients are checked.
        splits: the data.
        faults: keys of `FAULTS`.
        epochs: of training.
        seeds: how many trainings, from `config.seed` on.
    """
    config = dataclasses.replace(problem.config, epochs=epochs)
    activation, loss = ACTIVATIONS[config.activation], LOSSES[config.loss]
    problems = [
        make_problem(dataclasses.replace(config, seed=config.seed + n), splits)
        for n in range(seeds)
    ]
    evaluate = jax.jit(make_evaluate(problem.model, loss))
    mean_loss = jax.jit(make_mean_loss(problem.model, loss))
    found: list[Row] = []
    curves: list[CurveRow] = []
    worst_right = 1.0
    window = max(1, min(WINDOW, config.total_steps // 2))
    for fault in (NONE, *faults):
        value_and_grad = faulty(activation, loss, fault)
        disagreements = gradient_check(problem, mean_loss, value_and_grad)
        worst = max(disagreements, key=lambda name: disagreements[name])
        losses, accuracies = _train(problems, splits, value_and_grad, evaluate)
        mean, deviation = float(accuracies.mean()), float(accuracies.std(ddof=min(1, seeds - 1)))
        worst_right = min(worst_right, accuracies.min() if fault == NONE else 1.0)
        first, last = float(losses[:, :window].mean()), float(losses[:, -window:].mean())
        found.append(
            Row(
                fault,
                FAULTS.get(fault, "no mistake"),
                disagreements[worst],
                worst,
                disagreements[worst] > TOLERANCE,
                first,
                last,
                not last < (1 - FALL) * first,
                mean,
                deviation,
                bool(accuracies.max() < worst_right),
                epochs,
                seeds,
            )
        )
        whole = losses.shape[1] // window
        windows = losses[:, : whole * window].reshape(seeds, whole, window).mean(axis=(0, 2))
        curves += [
            CurveRow(fault, (index + 1) * window, float(value))
            for index, value in enumerate(windows)
        ]
    return found, curves
