"""A peer of `experiments.peers` in one of its forms."""

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from experiments.benchmarks.workers import Functions
from experiments.peers import classic

_load = functools.cache(classic.load)


def epoch(peer: str, batch_size: int, form: dict[str, Any]) -> Functions:
    """The functions `epoch` and `score` of a training.

    Args:
        peer: its module.
        batch_size: images a step.
        form: what else its `make_training` takes.
    """
    module = importlib.import_module(f"experiments.peers.{peer}")
    training = module.make_training(_load(), batch_size, **form)
    training.start(0)
    epoch = functools.partial(training.train, classic.TRAIN_SIZE // batch_size)
    return {
        "epoch": epoch,
        "score": functools.partial(score, training.start, epoch, training.accuracy),
    }


def score(
    start: Callable[[int], None],
    epoch: Callable[[], None],
    accuracy: Callable[[], float],
    seeds: Sequence[int],
    epochs: int,
) -> list[float]:
    """The test accuracy after so many epochs from each seed."""
    found = []
    for seed in seeds:
        start(seed)
        for _ in range(epochs):
            epoch()
        found.append(accuracy())
    return found
