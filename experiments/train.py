"""Trains a network on handwritten digits and writes the run into a folder of its own.

Without flags it is the classic run: MNIST, 10,000 training images, 784-30-10, sigmoid, quadratic
cost, SGD with learning rate 3.0, batch 10, 30 epochs.

usage: python -m experiments.train [--flagfile=experiments/recipes/NAME.flags] [--flag=value ...]
       python -m experiments.train --resume --workdir=RUN
"""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from digits_jax import runs
from digits_jax.runs import observers, tensorboard
from digits_jax.runs.programs import Epoch
from experiments import STARTED
from experiments.cli import devices, entries, flags, progress, start
from experiments.cli.flags import FLAGS
from experiments.training.plan import SCRIPT, Plan, prepare
from experiments.training.report import ending


def define_flags() -> None:
    """Defines the flags of a run."""
    flags.define_config()
    start.define(SCRIPT)
    about: dict[str, Any] = {"module_name": "run"}
    text = "seconds between checkpoints, at the end of an epoch; 0: never"
    absl_flags.DEFINE_float("checkpoint_seconds", 30.0, text, lower_bound=0.0, **about)
    absl_flags.DEFINE_bool("tensorboard", False, "write event files for TensorBoard", **about)
    text = "write a trace of the second epoch into workdir/profile"
    absl_flags.DEFINE_bool("profile", False, text, **about)
    devices.define_data_parallel()


def train(import_seconds: float, plan: Plan, should_stop: Callable[[], bool]) -> str | None:
    """Trains, with a bar where there is a terminal; gives what it was stopped after, if it was."""
    config, (splits, data_seconds, programs), directory, checkpoint = plan
    done = len(checkpoint.rows) if checkpoint else 0
    with progress.shown("epoch", config.epochs, done, quiet=directory is None) as advance:

        def look(epoch: Epoch) -> None:
            accuracy = epoch.row.validation_accuracy
            advance(1, "" if accuracy is None else f"validation {accuracy:.2%}")

        watching: list[observers.Observer] = [contextlib.nullcontext(look)]
        if directory and FLAGS.tensorboard:
            watching.append(tensorboard.writing(directory, done))
        if directory and FLAGS.profile:
            watching.append(observers.profiling(directory / runs.PROFILE, done))
        try:
            trained = runs.train(
                config,
                splits,
                directory,
                watching,
                programs=programs,
                checkpoint=checkpoint,
                checkpoint_seconds=FLAGS.checkpoint_seconds,
                should_stop=should_stop,
            )
        except runs.Stopped as stopped:
            return f"epoch {stopped.epoch} of {config.epochs}"
    if directory:
        seconds = {"import_seconds": import_seconds, "data_seconds": data_seconds}
        total_seconds = time.perf_counter() - STARTED
        summary = runs.write_summary(
            directory, trained, splits, total_seconds, seconds, entries.stored()
        )
        print(ending(config, summary, directory))
    return None


def main() -> int | None:
    import_seconds = time.perf_counter() - STARTED
    return start.run(SCRIPT, prepare, functools.partial(train, import_seconds))


if __name__ == "__main__":
    define_flags()
    flags.run(main, runs.Diverged)
