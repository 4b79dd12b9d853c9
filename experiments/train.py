"""Trains a network on handwritten digits and writes the run into a folder of its own.

Without flags it is the classic run: MNIST, 10,000 training images, 784-30-10, sigmoid, quadratic
cost, SGD with learning rate 3.0, batch 10, 30 epochs.

usage: python -m experiments.train [--flagfile=experiments/recipes/NAME.flags] [--flag=value ...]
       python -m experiments.train --resume --workdir=RUN
"""

import contextlib
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from digits_jax import data, runs
from digits_jax.config import Config
from digits_jax.models import describe
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.parallel.mesh import any_process
from digits_jax.runs import checkpoints, directories, tensorboard
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import Programs, state_template
from experiments import STARTED
from experiments.cli import compilation_cache, devices, flags, job, signals, stored_flags

CLASSIC_ACCURACY = 0.9278


def run_name(config: Config, splits: data.Splits) -> str:
    """What a run is about: its data and the sizes of its layers, as in mnist-784-30-10."""
    dataset = config.dataset
    if dataset == "mnist" and config.data_dir is not None:
        dataset = Path(config.data_dir).resolve().name
    return f"{dataset}-{describe(config.hidden, splits.image_shape, splits.num_classes)}"


def is_embedded_mnist(config: Config) -> bool:
    """Whether the data are those of the classic run."""
    return config.dataset == "mnist" and config.data_dir is None


def report(config: Config, summary: dict[str, Any], directory: Path) -> str:
    """The few lines that a run ends with."""
    classic = f" (the classic run: {CLASSIC_ACCURACY:.2%})" if is_embedded_mnist(config) else ""
    return (
        "test accuracy  {test_accuracy:.2%}, {test_errors:,} errors in {test_size:,}{classic}\n"
        "training       {train_seconds:.2f} s, {images_per_second:,} images/s on {device}\n"
        "compilation    {compile_seconds:.2f} s; everything {total_seconds:.2f} s\n"
        "files          {directory}"
    ).format(**summary, classic=classic, directory=directory)


def main() -> None:
    import_seconds = time.perf_counter() - STARTED
    compilation_cache.use()
    with job.joined() as here, contextlib.ExitStack() as held:
        asked = held.enter_context(signals.stop_requested())
        with flags.user_errors(ValueError, OSError):
            start = resume_run(held, here) if flags.FLAGS.resume else start_run(held, here)
        if start is not None:
            train(start, lambda: any_process(asked()), import_seconds)


class Loaded(NamedTuple):
    """The data of a run, the seconds that took, and programs that were compiled meanwhile."""

    splits: data.Splits
    seconds: float
    programs: Programs | None


class Start(NamedTuple):
    """What a run begins with: its flags, its data, its directory, and where it goes on from.

    The directory is `None` in all processes of a job but process 0, which alone writes and prints.
    """

    stored: stored_flags.Stored
    loaded: Loaded
    directory: Path | None
    checkpoint: Checkpoint | None


def start_run(held: contextlib.ExitStack, here: Job) -> Start:
    """Prepares a run from the beginning, in a directory of its own that `held` holds."""
    if flags.FLAGS.tensorboard and here.is_primary:
        tensorboard.check_installed()
    job.check_same_flags(here)
    flags.FLAGS["shards"].value = devices.use_shards(flags.FLAGS.shards, here)
    config = flags.config()
    if flags.FLAGS.workdir is not None and here.is_primary:
        directories.check(flags.workdir(""), flags.FLAGS.overwrite)
    check_profile(config.epochs)
    loaded = load(config, flags.FLAGS.tensorboard)
    job.check_same_data(here, loaded.splits)
    stored = stored_flags.Stored(
        config, flags.FLAGS.checkpoint_seconds, flags.FLAGS.tensorboard, stored_flags.stored_flags()
    )
    if not here.is_primary:
        return Start(stored, loaded, None, None)
    directory = flags.workdir(run_name(config, loaded.splits))
    held.enter_context(directories.locked(directory))
    runs.prepare_directory(directory, flags.FLAGS.overwrite)
    return Start(stored, loaded, directory, None)


def resume_run(held: contextlib.ExitStack, here: Job) -> Start | None:
    """Prepares to go on with the run in a directory; `None` where it is finished."""
    job.check_same_flags(here)
    directory = stored = checkpoint = None
    if here.is_primary:
        directory, stored = find_run(held)
    text = distributed.share(here, "run", stored.flags if stored else "")
    if not text:
        return None
    stored = stored or stored_flags.parse(text)
    if devices.use_shards(stored.config.shards, here) != stored.config.shards:
        raise ValueError(f"the run has --shards={stored.config.shards}, and there are more devices")
    loaded = load(stored.config, stored.tensorboard)
    job.check_same_data(here, loaded.splits)
    if directory:
        checkpoint, damaged = runs.restore(stored.config, loaded.splits, directory)
        for line in damaged:
            print(f"warning: {line}", file=sys.stderr)
        check_profile(stored.config.epochs - (len(checkpoint.rows) if checkpoint else 0))
    if here.processes > 1:
        checkpoint = checkpoints.share(checkpoint, state_template(stored.config, loaded.splits))
    return Start(stored, loaded, directory, checkpoint)


def find_run(held: contextlib.ExitStack) -> tuple[Path, stored_flags.Stored | None]:
    """The run in the directory that the flags name, held by `held`; `None` where it is finished."""
    if flags.FLAGS.workdir is None or flags.FLAGS.overwrite:
        raise ValueError("--resume needs --workdir=RUN, and no --overwrite")
    directory = flags.workdir("")
    stored = stored_flags.read(directory)
    if stored.tensorboard:
        tensorboard.check_installed()
    held.enter_context(directories.locked(directory))
    if runs.is_finished(stored.config, directory):
        print(f"{directory} is finished: {stored.config.epochs} epochs")
        return directory, None
    return directory, stored


def check_profile(epochs: int) -> None:
    """Checks that there is a second epoch to trace among those that are left."""
    if flags.FLAGS.profile and epochs < 2:
        raise ValueError(f"--profile traces the second epoch, and {epochs} is left to train")


def load(config: Config, write_events: bool) -> Loaded:
    """The data of a run; its programs compile meanwhile, where the files tell the shapes."""
    settings = flags.data_settings(config)

    def timed_load() -> tuple[data.Splits, float]:
        started = time.perf_counter()
        return data.load(**settings), time.perf_counter() - started

    # Reading MNIST takes 0.15 s, mostly without Python's lock.
    with ThreadPoolExecutor(1) as background:
        loading = background.submit(timed_load)
        outline = data.outline(**settings)
        programs = runs.compile_programs(config, outline, write_events) if outline else None
        return Loaded(*loading.result(), programs)


def train(start: Start, should_stop: Callable[[], bool], import_seconds: float) -> None:
    """Trains, with a bar where there is a terminal, and prints how it ended."""
    stored, (splits, data_seconds, programs), directory, checkpoint = start
    config = stored.config
    done = len(checkpoint.rows) if checkpoint else 0
    with (
        # Without a terminal no bar; in all processes of a job but one neither.
        tqdm(
            total=config.epochs, initial=done, unit="epoch", disable=None if directory else True
        ) as bar,
        flags.user_errors(runs.Diverged, OSError),
    ):
        if directory:
            write_atomically(directory / runs.FLAGS_FILE, stored.flags.encode())

        def on_epoch(row: runs.Row) -> None:
            if row.validation_accuracy is not None:
                bar.set_postfix_str(f"validation {row.validation_accuracy:.2%}", refresh=False)
            bar.update()

        try:
            summary = runs.train(
                config,
                splits,
                directory,
                on_epoch,
                STARTED,
                programs=programs,
                seconds={"import_seconds": import_seconds, "data_seconds": data_seconds},
                checkpoint=checkpoint,
                checkpoint_seconds=stored.checkpoint_seconds,
                should_stop=should_stop,
                write_events=stored.tensorboard,
                profile=flags.FLAGS.profile,
            )
            ending = report(config, summary, directory) if directory else ""
        except runs.Stopped as stopped:
            ending = (
                f"stopped after epoch {stopped.epoch} of {config.epochs}; to go on: "
                f"python -m experiments.train --resume --workdir={shlex.quote(str(directory))}"
            )
        bar.close()
        if directory:
            print(ending)


if __name__ == "__main__":
    flags.define_config()
    flags.define_workdir()
    stored_flags.define()
    devices.define_data_parallel()
    job.define()
    flags.run(main)
