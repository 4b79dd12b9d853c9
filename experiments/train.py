"""Trains a network on handwritten digits and writes the run into a folder of its own.

Without flags it is the classic run: MNIST, 10,000 training images, 784-30-10, sigmoid, quadratic
cost, SGD with learning rate 3.0, batch 10, 30 epochs.

usage: python -m experiments.train [--flagfile=experiments/recipes/NAME.flags] [--flag=value ...]
       python -m experiments.train --resume --workdir=RUN
"""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from digits_jax import data, runs
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.models import describe
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.runs import checkpoints, directories, observers, tensorboard
from digits_jax.runs.programs import Epoch, check_memory, compile_programs, state_template
from experiments import STARTED
from experiments.checking.before_training import check_own_gradient
from experiments.cli import devices, entries, flags, job, progress, script, start
from experiments.cli.flags import FLAGS

SCRIPT = start.Script(
    "train",
    "run",
    kept=("checkpoint_seconds", "tensorboard", "cpu_threads"),
    grows=runs.epochs_may_grow,
)
IMPORT_SECONDS = time.perf_counter() - STARTED


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
    text = "train with a gradient by hand from --entries even if it is wrong"
    absl_flags.DEFINE_bool("unchecked", False, text, **about)
    devices.define_data_parallel()
    devices.define_threads()


def prepare(held: contextlib.ExitStack, here: Job) -> start.Work | None:
    """Reads and checks flags, data and folder; gives what is to be done, `None` where it is done.

    The programs compile meanwhile, where the files tell the shapes before they are read. In a job,
    process 0 alone has a folder, writes and prints.
    """
    folder = start.begin(SCRIPT, here)
    if FLAGS.tensorboard and here.is_primary:
        tensorboard.check_installed()
    devices.use_threads(here)
    devices.take_shards(here)
    config = flags.config()
    finished = folder and FLAGS.resume and runs.is_finished(config, folder)
    if distributed.share(here, "finished", "yes" if finished else "") == "yes":
        if folder:
            most = "at most " if config.patience else ""
            flags.say(f"{folder} is finished: {most}{config.epochs} epochs")
        return None
    check_profile(config.epochs)
    stored = start.stored_flags(SCRIPT)

    compiler = held.enter_context(ThreadPoolExecutor(1))

    def compile_for(shapes: Splits) -> Any:
        check_memory(config, shapes.image_shape, shapes.num_classes)
        return compiler.submit(compile_programs, config, shapes, FLAGS.tensorboard)

    with progress.now_and_then(progress.since("reading data"), quiet=not here.is_primary):
        settings, started = flags.data_settings(config), time.perf_counter()
        outline = data.outline(**settings)
        compiling = compile_for(outline) if outline else None
        splits = data.load(**settings)
        data_seconds = time.perf_counter() - started
    compiling = compiling or compile_for(splits)
    job.check_same_data(here, splits)
    check_own_gradient(config, splits)
    checkpoint = None
    if here.is_primary:
        folder = folder or flags.workdir(run_name(config, splits))
        held.enter_context(directories.locked(directories.home(folder)))
        if FLAGS.resume:
            checkpoint, notes = runs.restore(config, splits, folder, FLAGS.other_device)
            for line in notes:
                flags.warn(line)
            check_profile(config.epochs - (len(checkpoint.rows) if checkpoint else 0))
            if directories.is_finished(folder):
                folder = directories.grow(folder)
        else:
            folder = directories.renew(folder, FLAGS.overwrite)
        runs.begin(config, splits, folder, stored)

    def work(should_stop: Callable[[], bool]) -> str | None:
        begun = checkpoint
        if FLAGS.resume and here.processes > 1:
            begun = checkpoints.share(begun, state_template(config, splits))
        with progress.now_and_then(progress.since("compiling"), quiet=not here.is_primary):
            programs = compiling.result()
        done = len(begun.rows) if begun else 0
        with progress.shown("epoch", config.epochs, done, quiet=folder is None) as advance:
            try:
                trained = runs.train(
                    config,
                    splits,
                    folder,
                    watching(folder, done, advance),
                    programs=programs,
                    checkpoint=begun,
                    checkpoint_seconds=FLAGS.checkpoint_seconds,
                    should_stop=should_stop,
                )
            except runs.Stopped as stopped:
                return f"epoch {stopped.epoch} of {config.epochs}"
        if folder:
            seconds = {"import_seconds": IMPORT_SECONDS, "data_seconds": data_seconds}
            total = time.perf_counter() - STARTED
            summary = runs.write_summary(folder, trained, splits, total, seconds, entries.stored())
            flags.say(*ending(config, summary, directories.home(folder)))
        return None

    return folder, work


def watching(
    folder: Path | None, done: int, advance: Callable[..., None]
) -> list[observers.Observer]:
    """What looks on as a run goes: the bar, and what the flags ask for."""

    def look(epoch: Epoch) -> None:
        accuracy = epoch.row.validation_accuracy
        advance(1, "" if accuracy is None else f"validation {accuracy:.2%}")

    found: list[observers.Observer] = [contextlib.nullcontext(look)]
    if folder and FLAGS.tensorboard:
        found.append(tensorboard.writing(folder, done))
    if folder and FLAGS.profile:
        found.append(observers.profiling(folder / runs.PROFILE, done))
    return found


def check_profile(epochs: int) -> None:
    """Checks that there is a second epoch to trace among those that are left."""
    if FLAGS.profile and epochs < 2:
        raise ValueError(f"--profile traces the second epoch, and {epochs} is left to train")


def run_name(config: Config, splits: Splits) -> str:
    """What a run is about: its data and the sizes of its layers, as in mnist-784-30-10."""
    dataset = config.dataset
    if dataset == "mnist" and config.data_dir is not None:
        dataset = Path(config.data_dir).resolve().name
    return f"{dataset}-{describe(config.hidden, splits.image_shape, splits.num_classes)}"


def ending(config: Config, summary: dict[str, Any], folder: Path) -> list[str]:
    """The few lines that a run ends with."""
    judged = ["judged         {judged}"] if config.watches_validation else []
    lines = [
        "test accuracy  {test_accuracy:.2%}, {test_errors:,} errors in {test_size:,}",
        *judged,
        "training       {train_seconds:.2f} s, {images_per_second:,} images/s on {devices}",
        "compilation    {compile_seconds:.2f} s; everything {total_seconds:.2f} s",
        "files          {folder}",
    ]
    words = {**summary, "devices": computed_on(summary)}
    return [line.format(**words, folder=folder) for line in lines]


def computed_on(summary: dict[str, Any]) -> str:
    """The devices of a run: cpu, 1 thread; or 4 x NVIDIA H100."""
    count, threads = summary["devices"], summary["cpu_threads"]
    several = f"{count} x " if count > 1 else ""
    told = f", {threads} thread{'s' * (threads > 1)}" if threads else ""
    return f"{several}{summary['device']}{told}"


def main() -> int | None:
    return start.run(SCRIPT, prepare)


if __name__ == "__main__":
    define_flags()
    script.run(main, runs.Diverged, FloatingPointError)
