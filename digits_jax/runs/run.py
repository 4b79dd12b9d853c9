"""One run in a directory of its own: train, survive, and write metrics, summary and model."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from digits_jax.config import Config, hyperparameters
from digits_jax.data.dataset import Splits
from digits_jax.runs import checkpoints, directories, flags_file, identity, model_file, summary
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.directories import (
    CHECKPOINTS,
    FLAGS_FILE,
    METRICS_FILE,
    MODEL_FILE,
    SUMMARY_FILE,
)
from digits_jax.runs.files import write_atomically
from digits_jax.runs.observers import (
    Observer,
    check_finite,
    check_losses,
    checkpointing,
    metrics,
)
from digits_jax.runs.programs import (
    Programs,
    compile_programs,
    decimal,
    epochs,
    state_template,
)
from digits_jax.runs.summary import Trained


class Stopped(Exception):
    """The run was asked to stop, and did after this epoch; it can be resumed."""

    def __init__(self, epoch: int):
        super().__init__(f"stopped after epoch {epoch}")
        self.epoch = epoch


def is_finished(config: Config, directory: Path) -> bool:
    """Whether `directory` holds the summary of `config`, which is written last."""
    return summary.is_of(directory / SUMMARY_FILE, config)


def restore(
    config: Config, splits: Splits, directory: Path, other_device: bool = False
) -> tuple[Checkpoint | None, list[str]]:
    """Restores the last undamaged checkpoint of the run in `directory`.

    With `other_device` also where the run began on a device of another kind.

    Returns:
        The checkpoint, or `None` where none was ever completed: the run then starts at its
        beginning. And lines for the user, as `checkpoints.restore` gives them.

    Raises:
        ValueError: what was begun there is another run, by its identity.json or its last
            checkpoint; all checkpoints are damaged; or it is past the epochs of `config`.
    """
    here = identity.of_run(config, splits, identity.data_sha256(splits))
    notes = identity.check(directory, here, other_device)
    template = state_template(config, splits)
    checkpoint, more = checkpoints.restore(directory / CHECKPOINTS, here, template)
    if checkpoint and len(checkpoint.rows) > config.epochs:
        raise ValueError(
            f"the run in {directory} is at epoch {len(checkpoint.rows)} of {config.epochs}"
        )
    return checkpoint, list(dict.fromkeys(notes + more))


def begin(config: Config, splits: Splits, directory: Path, flags: Iterable[str]) -> None:
    """Records what a run begins with: identity.json, unless it goes on, and flags.txt.

    Args:
        config: the run.
        splits: its data.
        directory: an existing folder.
        flags: the lines of flags.txt.

    Raises:
        ValueError: a flag cannot be written, as `flags_file.check`.
        OSError: a file cannot be written.
    """
    flags_file.check(flags := list(flags))
    identity.record(directory, identity.of_run(config, splits, identity.data_sha256(splits)))
    flags_file.write(directory / FLAGS_FILE, flags)


def train(
    config: Config,
    splits: Splits,
    directory: Path | None,
    observers: Sequence[Observer] = (),
    *,
    programs: Programs | None = None,
    checkpoint: Checkpoint | None = None,
    checkpoint_seconds: float = 0.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Trains, writes metrics, checkpoints and the model, and scores the test split once.

    Args:
        config: the run.
        splits: its data, as `digits_jax.data.load` gives it.
        directory: an existing folder, which receives metrics.csv (a row as each epoch ends),
            checkpoints and model.safetensors. `None` writes nothing: of the processes of a job, one
            writes.
        observers: are handed each epoch whose losses are finite, before its checkpoint is saved.
        programs: as `compile_programs` gives them; by default they are compiled here.
        checkpoint: where to go on from, as `restore` gives it; by default, the beginning.
        checkpoint_seconds: saves a checkpoint at the end of an epoch, where this many seconds have
            passed since training began or the last was saved; 0: never.
        should_stop: asked before the first epoch and after every one. True saves a checkpoint,
            whatever `checkpoint_seconds` is, and ends the run. All processes of a job have to get
            the same answer.

    Raises:
        Diverged: where a loss is NaN or infinite; the message names the epoch. No model is written.
        Stopped: where `should_stop` ended the run.
        OSError: where a file or a checkpoint cannot be written.
    """
    rows = list(checkpoint.rows) if checkpoint else []
    done, evaluate_seconds = len(rows), 0.0
    if should_stop():
        raise Stopped(done)
    programs = programs or compile_programs(config, splits)
    if checkpoint:
        state = programs.put(checkpoint.state)
    else:
        state = programs.init(programs.put(hyperparameters(config)))

    data = identity.data_sha256(splits)
    observers = [contextlib.nullcontext(check_losses), *observers]
    if directory:
        common, folder = identity.of_run(config, splits, data), directory / CHECKPOINTS
        observers = [
            metrics(directory / METRICS_FILE, rows),
            *observers,
            checkpointing(folder, common, rows, checkpoint_seconds),
        ]
    with contextlib.ExitStack() as stack:
        observe = [stack.enter_context(observer) for observer in observers]
        if should_stop():
            raise Stopped(done)
        for epoch in epochs(config, splits, programs, state, done):
            state, row = epoch.state, epoch.row
            rows.append(row)
            evaluate_seconds += epoch.evaluate_seconds
            epoch = epoch._replace(stopping=row.epoch < config.epochs and should_stop())
            for look in observe:
                look(epoch)
            if epoch.stopping:
                raise Stopped(row.epoch)

    started = time.perf_counter()
    test = jax.device_get(programs.evaluate_test(state.judged, programs.put_split(splits.test)))
    evaluate_seconds += time.perf_counter() - started
    check_finite("test_loss", decimal(test.loss), rows[-1].epoch)
    params = jax.device_get(state.judged)
    model = model_file.TrainedModel(params, config, splits.image_shape, splits.num_classes, data)
    started = time.perf_counter()
    if directory:
        model_file.save(directory / MODEL_FILE, model)
    write_seconds = time.perf_counter() - started
    seconds = {"compile": programs.seconds, "evaluate": evaluate_seconds, "write": write_seconds}
    best = state.best if config.judge == "best" else None
    judged_epoch = int(best.epoch) if best else rows[-1].epoch
    return Trained(model, tuple(rows), test, seconds, judged_epoch)


def write_summary(
    directory: Path,
    trained: Trained,
    splits: Splits,
    total_seconds: float = 0.0,
    seconds: Mapping[str, float] | None = None,
    entries: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Writes `summary.summarise` into `directory`, and returns it: with it the run is finished.

    A run that was written into the folder unfinished of another then takes the other's place.
    """
    found = summary.summarise(trained, splits, total_seconds, seconds or {}, entries)
    write_atomically(directory / SUMMARY_FILE, (json.dumps(found, indent=2) + "\n").encode())
    if (parent := directories.home(directory)) != directory:
        directories.replace_earlier(parent)
    return found
