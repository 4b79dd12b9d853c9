"""This project: its compiled epoch on its own data, its sweep, its device."""

import functools
from typing import Any

import jax
import numpy as np

from digits_jax import data
from digits_jax.config import Config, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.parallel import sweeps
from digits_jax.runs.programs import compile_programs
from experiments.benchmarks.competitors.peers import score
from experiments.benchmarks.workers import Functions

MNIST_TRAINING_SIZE = 60_000


@functools.cache
def tiled(train_size: int) -> Splits:
    """MNIST with its training images from the front, repeated where more are asked for."""
    splits = data.load("mnist", None, min(train_size, MNIST_TRAINING_SIZE), 0)
    rows = np.arange(train_size) % MNIST_TRAINING_SIZE
    train = Dataset(*(array[rows] for array in splits.train))
    return splits._replace(train=train)


@functools.cache
def _on_device(train_size: int) -> Any:
    splits = tiled(train_size)
    return jax.device_put((splits.train, splits.test))


def epoch(**settings: Any) -> Functions:
    """The functions `epoch` and `score` of a run.

    Args:
        settings: of Config, without validation images.
    """
    config = Config(validation_size=0, **settings)
    programs = compile_programs(config, tiled(config.train_size))
    train_set, test_set = _on_device(config.train_size)
    numbers = jax.device_put(hyperparameters(config))
    state = programs.init(numbers)

    def start(seed: int) -> None:
        nonlocal state
        state = programs.init(jax.device_put(numbers._replace(seed=np.uint32(seed))))

    def epoch() -> None:
        nonlocal state
        state, metrics = programs.epoch(numbers, state, train_set)
        metrics.loss.block_until_ready()

    def accuracy() -> float:
        return float(programs.evaluate_test(state.judged, test_set).accuracy)

    return {"epoch": epoch, "score": functools.partial(score, start, epoch, accuracy)}


def sweep(networks: int, **settings: Any) -> Functions:
    """The function `seconds`: what training and scoring so many takes, compilation not counted.

    Args:
        networks: runs of the same settings, each with a seed of its own.
        settings: of Config, without validation images.
    """
    configs = [Config(validation_size=0, seed=seed, **settings) for seed in range(networks)]
    splits = tiled(configs[0].train_size)
    return {"seconds": lambda: sum(seconds for _, _, seconds in sweeps.sweep(configs, splits))}


def device() -> Functions:
    """The functions `platform`, as in cpu, and `kind`, what JAX calls the device."""
    first = jax.devices()[0]
    return {"platform": lambda: first.platform, "kind": lambda: first.device_kind}
