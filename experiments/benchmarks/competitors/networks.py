"""This project's sweep: many networks, each trained and scored, over the lanes of its process."""

from typing import Any

from digits_jax.config import Config
from digits_jax.parallel import sweeps
from experiments.benchmarks.competitors.project import tiled
from experiments.benchmarks.workers import Functions


def prepare(networks: int, **settings: Any) -> Functions:
    """The function `seconds`: what so many networks take, compilation not counted.

    Args:
        networks: runs of the same settings, each with a seed of its own.
        settings: of Config, without validation images.
    """
    configs = [Config(validation_size=0, seed=seed, **settings) for seed in range(networks)]
    splits = tiled(configs[0].train_size)
    return {"seconds": lambda: sum(seconds for _, _, seconds in sweeps.sweep(configs, splits))}
