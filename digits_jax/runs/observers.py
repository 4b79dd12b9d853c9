"""What looks on as a run goes: each observer is a context manager around a function of an epoch."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from digits_jax.runs import checkpoints, history
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.history import Row
from digits_jax.runs.programs import Epoch

Observe = Callable[[Epoch], None]
Observer = contextlib.AbstractContextManager[Observe]


class Diverged(ArithmeticError):
    """The loss, or a parameter, became NaN or infinite."""


@contextlib.contextmanager
def metrics(path: Path, rows: Iterable[Row]) -> Iterator[Observe]:
    """Makes metrics.csv anew of `rows`, and appends each epoch's."""
    with history.appending(path, rows) as append:
        yield lambda epoch: append(epoch.row)


@contextlib.contextmanager
def checkpointing(
    directory: Path, identity: dict[str, Any], rows: Iterable[Row], seconds: float
) -> Iterator[Observe]:
    """Saves a checkpoint of an epoch that is the last before a stop, or for which it is time.

    Args:
        directory: as `checkpoints.save` takes it, like `identity`.
        identity: what the run has in common with those that may restore its checkpoints.
        rows: of the epochs made before.
        seconds: that pass between two checkpoints; 0: only as the run stops.
    """
    rows, saved = list(rows), time.monotonic()

    def observe(epoch: Epoch) -> None:
        nonlocal saved
        rows.append(epoch.row)
        if epoch.stopping or 0 < seconds <= time.monotonic() - saved:
            check_parameters(epoch)
            checkpoints.save(directory, identity, Checkpoint(epoch.state, tuple(rows)))
            saved = time.monotonic()

    yield observe


@contextlib.contextmanager
def profiling(directory: Path, done: int) -> Iterator[Observe]:
    """Writes a trace of the second epoch after `done`: the first warms up."""
    with contextlib.ExitStack() as trace:

        def observe(epoch: Epoch) -> None:
            trace.close()
            if epoch.row.epoch == done + 1:
                trace.enter_context(jax.profiler.trace(directory))

        yield observe


def check_finite(name: str, loss: float | None, epoch: int) -> None:
    """Checks a loss; `None` is one that is not measured.

    Raises:
        Diverged: where it is NaN or infinite; the message names the epoch.
    """
    if loss is not None and not math.isfinite(loss):
        raise Diverged(f"{name} became {loss} in epoch {epoch}: try a smaller learning rate")


def check_losses(epoch: Epoch) -> None:
    """As `check_finite`, of both losses of an epoch."""
    check_finite("train_loss", epoch.row.train_loss, epoch.row.epoch)
    check_finite("validation_loss", epoch.row.validation_loss, epoch.row.epoch)


def check_parameters(epoch: Epoch) -> None:
    """As `check_losses`, which are from before the last update and do not tell."""
    params = jax.device_get(epoch.state.params)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise Diverged(
            f"a parameter became nan or inf in epoch {epoch.row.epoch}: try a smaller learning rate"
        )
