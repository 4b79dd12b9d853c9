"""A peer of `experiments.peers` in one of its forms."""

import functools
import importlib
from typing import Any

from experiments.benchmarks.competitors.scores import score
from experiments.benchmarks.workers import Functions
from experiments.peers import classic

# Enough of an epoch to tell which form is faster.
TRIAL_STEPS = 200

_load = functools.cache(classic.load)


def prepare(peer: str, batch_size: int, form: dict[str, Any]) -> Functions:
    """The functions `epoch`, `trial` (a part of one) and `score` of a training.

    Args:
        peer: its module.
        batch_size: images a step.
        form: what else its `make_training` takes.
    """
    module = importlib.import_module(f"experiments.peers.{peer}")
    training = module.make_training(_load(), batch_size, **form)
    training.start(0)
    steps = classic.TRAIN_SIZE // batch_size
    epoch = functools.partial(training.train, steps)
    return {
        "epoch": epoch,
        "trial": functools.partial(training.train, min(steps, TRIAL_STEPS)),
        "score": functools.partial(score, training.start, epoch, training.accuracy),
    }
