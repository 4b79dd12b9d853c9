"""This project as its peers are run: JSON of Config's fields in, a line of JSON out.

With `networks` it trains a sweep of so many, each with a seed of its own, and prints the seconds of
one network, without compilation, as `epoch`.

usage: python -m experiments.peers.ours JSON
"""

import json
import sys
from typing import Any

import jax
import numpy as np

from digits_jax import data
from digits_jax.config import Config, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.parallel import sweeps
from digits_jax.runs.programs import compile_programs
from experiments.cli import compilation_cache
from experiments.peers import classic

ACCELERATOR_SIZE = 8192  # of matrices: an accelerator needs larger ones for its full rate


def tiled(train_size: int) -> Splits:
    """MNIST with its training images from the front, repeated where more are asked for."""
    splits = data.load("mnist", None, min(train_size, 60_000), 0)
    rows = np.arange(train_size) % len(splits.train.labels)
    return splits._replace(train=Dataset(*(array[rows] for array in splits.train)))


def train(config: Config) -> dict[str, float]:
    """The time of an epoch and the test accuracy, as of the peers."""
    splits = tiled(config.train_size)
    programs = compile_programs(config, splits)
    train_set, test_set = jax.device_put((splits.train, splits.test))
    numbers = jax.device_put(hyperparameters(config))
    state: Any = programs.init(numbers)

    def epoch() -> None:
        nonlocal state
        state, metrics = programs.epoch(numbers, state, train_set)
        metrics.loss.block_until_ready()

    return classic.time_epochs(
        config.epochs,
        epoch,
        lambda: float(programs.evaluate_test(state.judged, test_set).accuracy),
    )


def multiply(size: int) -> Any:
    """What multiplies two matrices on the device."""
    a, b = jax.device_put(classic.matrices(size))
    compiled = jax.jit(jax.numpy.matmul)
    return lambda: compiled(a, b).block_until_ready()


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    networks, wants_product = given.pop("networks", 0), given.pop("product", False)
    compilation_cache.use()
    config = Config.from_dict({"validation_size": 0} | given)
    if networks:
        configs = [Config.from_dict(vars(config) | {"seed": seed}) for seed in range(networks)]
        seconds = sum(took for _, _, took in sweeps.sweep(configs, tiled(config.train_size)))
        print(json.dumps({"epoch": seconds / networks}))
        return
    found = train(config)
    if wants_product:
        size = classic.SIZE if jax.default_backend() == "cpu" else ACCELERATOR_SIZE
        found["sgemm"] = classic.product(multiply(size), size)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
