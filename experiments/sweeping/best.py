"""The model of a sweep's best setting: its run, trained once more into a folder of its own."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from digits_jax import results, runs
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.findings import Found
from digits_jax.parallel.mesh import broadcast
from digits_jax.runs import checkpoints, directories, flags_file
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import Epoch, state_template
from experiments.cli import entries, progress

FOLDER, MODEL_FILE = runs.BEST, "best.safetensors"
CHECKPOINT_SECONDS = 30.0


def choose(found: Found) -> int | None:
    """The run of the best setting of several with the seed that is best by validation, if any."""
    if len(found.settings) < 2:
        return None
    of_each = results.group(found.columns, found.varied).values()
    for entry, own in zip(found.settings, of_each, strict=True):
        if entry["best"]:
            return int(own["run"][np.argmax(own["validation_accuracy"])])
    return None


def train(
    directory: Path | None,
    config: Config,
    splits: Splits,
    should_stop: Callable[[], bool],
) -> str | None:
    """Trains a run of the sweep into `directory`; gives what it was stopped after, if it was.

    Each process of a job trains it, and process 0, which has a directory, writes it.
    """
    folder = directory / FOLDER if directory else None
    finished, checkpoint = bool(folder and runs.is_finished(config, folder)), None
    if not json.loads(broadcast(json.dumps(finished).encode())):
        started, stored = time.perf_counter(), entries.lines() + flags_file.of_config(config)
        if folder:
            try:
                if flags_file.read(folder / runs.FLAGS_FILE) == stored:
                    checkpoint, _ = runs.restore(config, splits, folder, other_device=True)
            except (OSError, ValueError):  # not begun, damaged, or another run: from the beginning
                directories.renew(folder, overwrite=True)
            folder.mkdir(exist_ok=True)
            runs.begin(config, splits, folder, stored)
        if jax.process_count() > 1:
            checkpoint = checkpoints.share(checkpoint, state_template(config, splits))
        done = len(checkpoint.rows) if checkpoint else 0
        quiet = folder is None
        with progress.shown("epoch of the best", config.epochs, done, quiet) as advance:

            def look(epoch: Epoch) -> None:
                advance(1)

            try:
                trained = runs.train(
                    config,
                    splits,
                    folder,
                    [contextlib.nullcontext(look)],
                    checkpoint=checkpoint,
                    checkpoint_seconds=CHECKPOINT_SECONDS,
                    should_stop=should_stop,
                )
            except runs.Stopped as stopped:
                return f"epoch {stopped.epoch} of {config.epochs} of the best"
        if folder:
            seconds = time.perf_counter() - started
            runs.write_summary(folder, trained, splits, seconds, entries=entries.stored())
    if folder and directory:
        write_atomically(directory / MODEL_FILE, (folder / runs.MODEL_FILE).read_bytes())
    return None
