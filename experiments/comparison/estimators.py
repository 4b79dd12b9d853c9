"""Estimates of the gradient beside the gradient: what they reach, at which angle and price."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import dtype_of, scale_pixels
from digits_jax.models import describe
from digits_jax.parallel import sweeps
from digits_jax.training import TrainState, make_training, shuffle
from experiments.cli import progress
from experiments.cli.timing import interleaved, measure
from experiments.comparison.cost import ROUNDS
from experiments.comparison.methods import ready

# Learning rates are 10^(k/2). A search begins with these k; along random directions with lesser
# ones, as such an estimate is longer than the gradient by the root of the number of parameters.
RATES, RATES_ALONG_DIRECTIONS = range(-3, 2), range(-7, -2)
ALONG_DIRECTIONS = ("forward_gradient", "evolution")
LOOKS = 50  # at the angle, in an epoch


class Found(NamedTuple):
    """What training by a method came to over n seeds, and the price of a step.

    `test` are test accuracies, [n]; `validation` those after each epoch, [n, epochs]. `angles` are
    between estimate and gradient, of all layers but the last, whose own is exact with feedback; in
    degrees, before the updates whose numbers are `steps`: [n, looks]. XLA counts `flops`: of a loop
    those of one turn.
    """

    network: str
    method: str
    learning_rate: float
    test: Any
    validation: Any
    steps: Any
    angles: Any
    seconds: float
    flops: float
    temporary_bytes: int


def find(
    places: Sequence[Config], methods: Sequence[str], splits: Splits, seeds: int, seconds: float
) -> list[Found]:
    """Every method at every place, by its own learning rate; each step is timed for `seconds`."""
    found = []
    with progress.shown("training", len(places) * len(methods), 0, quiet=False) as advance:
        for place in places:
            network = describe(place.hidden, splits.image_shape, splits.num_classes)
            configs = [dataclasses.replace(place, gradients=name) for name in methods]
            for config, price in zip(configs, prices(configs, splits, seconds), strict=True):
                several = range(place.seed, place.seed + seeds)
                rate, test = choose(config, splits, several)
                course = courses(dataclasses.replace(config, learning_rate=rate), splits, several)
                found.append(Found(network, config.gradients, rate, test, *course, *price))
                advance(1, f"{network} by {config.gradients}")
    return found


def choose(config: Config, splits: Splits, seeds: Sequence[int]) -> tuple[float, Any]:
    """The rate that is best on validation images, over the seeds; the test accuracies with it.

    Rates beyond the ends are tried until the best lies between two that are worse.
    """
    rates = {k: float(f"{10 ** (k / 2):.2g}") for k in range(-30, 30)}
    new = list(RATES_ALONG_DIRECTIONS if config.gradients in ALONG_DIRECTIONS else RATES)
    scores: dict[int, Any] = {}
    while new:
        varied = {"learning_rate": [rates[k] for k in new]}
        found = list(sweeps.sweep(sweeps.combinations(config, varied, seeds), splits))
        errors: Any = [(o.validation_errors, o.test_errors) for _, o, _ in found]
        by_rate = np.concatenate(errors, axis=1).reshape(2, len(new), -1)
        scores |= zip(new, by_rate.swapaxes(0, 1), strict=True)
        best = min(scores, key=lambda k: scores[k][0].mean())
        new = [k for k in (best - 1, best + 1) if k not in scores]
    return rates[best], 1 - scores[best][1] / len(splits.test.labels)


def courses(config: Config, splits: Splits, seeds: Sequence[int]) -> tuple[Any, Any, Any]:
    """Validation accuracies, steps and angles, as in `Found`: runs spread over the devices."""
    exact, training = (
        make_training(each, splits.image_shape, splits.num_classes)
        for each in (dataclasses.replace(config, gradients="autodiff"), config)
    )
    every = max(1, config.steps_per_epoch // LOOKS)

    def cosine(numbers: Hyperparameters, state: TrainState, batch: Dataset) -> Any:
        arguments = state.params, scale_pixels(batch.images, dtype_of(state.params)), batch.labels
        ways = [each.gradient(numbers, state.step) for each in (training, exact)]
        g, h = (ravel_pytree(list(filter(None, way(*arguments)[1]))[:-1])[0] for way in ways)
        return jnp.vdot(g, h) / (jnp.linalg.norm(g) * jnp.linalg.norm(h) + 1e-30)

    @jax.jit
    def course(numbers: Hyperparameters, train: Dataset, validation: Dataset) -> Any:
        """The run that `experiments.train` makes, with looks at it."""

        def step(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
            batch = Dataset(train.images[rows], train.labels[rows])
            look = functools.partial(cosine, numbers, state, batch)
            seen = jax.lax.cond(state.step % every == 0, look, lambda: jnp.float32(0))
            return training.train_step(numbers, state, batch)[0], seen

        def epoch(state: TrainState, number: Array) -> tuple[TrainState, tuple[Array, Array]]:
            order = shuffle(jax.random.fold_in(state.key, number), len(train.labels))
            used = order[: config.steps_per_epoch * config.batch_size]
            state, seen = jax.lax.scan(step, state, used.reshape(-1, config.batch_size))
            return state, (training.evaluate(state.current, validation).accuracy, seen)

        return jax.lax.scan(epoch, training.init(numbers), jnp.arange(config.epochs))[1]

    waiting = []
    for n, seed in enumerate(seeds):
        numbers = hyperparameters(dataclasses.replace(config, seed=seed))
        device = jax.devices()[n % jax.device_count()]
        waiting.append(course(*jax.device_put((numbers, splits.train, splits.validation), device)))
    accuracies, seen = map(np.stack, zip(*jax.device_get(waiting), strict=True))
    steps = np.arange(0, config.total_steps, every)
    cosines = np.clip(seen.reshape(len(seen), -1)[:, steps], -1, 1)
    return accuracies, steps, np.degrees(np.arccos(cosines))


def prices(configs: Sequence[Config], splits: Splits, seconds: float) -> list[tuple[Any, ...]]:
    """Seconds, FLOPs and temporary bytes of a step of each; timed in turn, for so many seconds."""
    calls, counted = {}, []
    for config in configs:
        training = make_training(config, splits.image_shape, splits.num_classes)
        batch = Dataset(*(array[: config.batch_size] for array in splits.train))
        arguments = hyperparameters(config), jax.jit(training.init)(hyperparameters(config)), batch
        step: Any = jax.jit(training.train_step).lower(*arguments).compile()
        call = ready(step, *arguments)
        calls[config] = functools.partial(measure, call, seconds / ROUNDS, least=2)
        counted.append((step.cost_analysis()["flops"], step.memory_analysis().temp_size_in_bytes))
    rounds = interleaved(calls, ROUNDS)[0].values()
    times = [float(np.median([timing.seconds for timing in each])) for each in rounds]
    return [(time, *count) for time, count in zip(times, counted, strict=True)]
