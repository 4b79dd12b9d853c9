"""What a run begins with: its flags, its data, its folder, and where it goes on from."""

import contextlib
import sys
from pathlib import Path
from typing import NamedTuple

from digits_jax import runs
from digits_jax.config import Config
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.runs import checkpoints, directories, loading, tensorboard
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import state_template
from experiments.cli import devices, flags, job, progress, start
from experiments.cli.flags import FLAGS
from experiments.training.report import run_name

SCRIPT = start.Script(
    "train",
    "run",
    files=(runs.FLAGS_FILE,),
    kept=("checkpoint_seconds", "tensorboard"),
    grows=runs.epochs_may_grow,
)


class Plan(NamedTuple):
    """What a run begins with; in a job, process 0 alone has a directory, writes and prints."""

    config: Config
    loaded: loading.Loaded
    directory: Path | None
    checkpoint: Checkpoint | None


def prepare(held: contextlib.ExitStack, here: Job) -> Plan | None:
    """Checks flags and data, and takes hold of the folder; `None` where the run is finished."""
    directory = start.begin(SCRIPT, here)
    if FLAGS.tensorboard and here.is_primary:
        tensorboard.check_installed()
    devices.take_shards(here)
    config = flags.config()
    finished = directory and FLAGS.resume and runs.is_finished(config, directory)
    if distributed.share(here, "finished", "yes" if finished else "") == "yes":
        if directory:
            most = "at most " if config.patience else ""
            print(f"{directory} is finished: {most}{config.epochs} epochs")
        return None
    check_profile(config.epochs)
    with progress.now_and_then(progress.since("compiling"), quiet=not here.is_primary):
        loaded = loading.load(config, flags.data_settings(config), FLAGS.tensorboard)
    checkpoint = None
    job.check_same_data(here, loaded.splits)
    if here.is_primary:
        directory = directory or flags.workdir(run_name(config, loaded.splits))
        held.enter_context(directories.locked(directory))
        if FLAGS.resume:
            checkpoint, damaged = runs.restore(config, loaded.splits, directory)
            for line in damaged:
                print(f"warning: {line}", file=sys.stderr)
            check_profile(config.epochs - (len(checkpoint.rows) if checkpoint else 0))
        else:
            runs.prepare_directory(directory, FLAGS.overwrite)
        write_atomically(directory / runs.FLAGS_FILE, start.stored_flags(SCRIPT).encode())
    if FLAGS.resume and here.processes > 1:
        checkpoint = checkpoints.share(checkpoint, state_template(config, loaded.splits))
    return Plan(config, loaded, directory, checkpoint)


def check_profile(epochs: int) -> None:
    """Checks that there is a second epoch to trace among those that are left."""
    if FLAGS.profile and epochs < 2:
        raise ValueError(f"--profile traces the second epoch, and {epochs} is left to train")
