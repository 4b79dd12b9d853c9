"""The model of a sweep's best setting: its run, trained once more into a folder of its own."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from digits_jax import runs
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.parallel.mesh import broadcast
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import Epoch
from experiments.cli import entries, flags, progress

FOLDER, MODEL_FILE = runs.BEST, "best.safetensors"


def choose(
    rows: Sequence[Mapping[str, str]], table: Sequence[Mapping[str, Any]], varied: Sequence[str]
) -> int | None:
    """The run of the recommended setting, with the seed that is best by validation; `None`: none.

    Args:
        rows: those of results.csv.
        table: what `summary.summarise` makes of them.
        varied: the names of the varied fields.
    """
    for entry in table:
        if entry["recommended"]:
            own = [row for row in rows if all(row[name] == entry[name] for name in varied)]
            scores = {int(row["run"]): float(row["validation_accuracy"]) for row in own}
            return min(scores, key=lambda run: (-scores[run], run))
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
    finished = bool(folder and runs.is_finished(config, folder))
    if json.loads(broadcast(json.dumps(finished).encode())):
        return None
    started = time.perf_counter()
    if folder:
        runs.prepare_directory(folder, overwrite=True)
        write_atomically(folder / runs.FLAGS_FILE, flags.config_flags(config).encode())
    with progress.shown("epoch of the best", config.epochs, 0, quiet=folder is None) as advance:

        def look(epoch: Epoch) -> None:
            advance(1)

        observers = [contextlib.nullcontext(look)]
        try:
            trained = runs.train(config, splits, folder, observers, should_stop=should_stop)
        except runs.Stopped as stopped:
            return f"epoch {stopped.epoch} of {config.epochs} of the best"
    if folder and directory:
        seconds = time.perf_counter() - started
        runs.write_summary(folder, trained, splits, seconds, entries=entries.stored())
        write_atomically(directory / MODEL_FILE, (folder / runs.MODEL_FILE).read_bytes())
    return None
