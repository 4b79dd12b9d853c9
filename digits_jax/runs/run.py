"""One run in a directory of its own: train, survive, and write metrics, summary and model."""

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from digits_jax.config import Config, hyperparameters
from digits_jax.data.dataset import Splits
from digits_jax.models import count_parameters
from digits_jax.runs import checkpoints, directories, history, model_file, tensorboard
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.files import write_atomically
from digits_jax.runs.history import Row as Row
from digits_jax.runs.programs import (
    Epoch,
    Programs,
    accuracy,
    compile_programs,
    decimal,
    epochs,
    state_template,
)
from digits_jax.training import TrainState

FLAGS_FILE, METRICS_FILE = "flags.txt", "metrics.csv"
SUMMARY_FILE, MODEL_FILE = "summary.json", "model.safetensors"
RUN_FILES = (FLAGS_FILE, METRICS_FILE, SUMMARY_FILE, MODEL_FILE)
CHECKPOINTS, PROFILE = "checkpoints", "profile"
PACKAGES = ("digits_jax", "jax", "jaxlib", "optax", "numpy")


class Diverged(ArithmeticError):
    """The loss, or a parameter, became NaN or infinite."""


class Stopped(Exception):
    """The run was asked to stop, and did after this epoch; it can be resumed."""

    def __init__(self, epoch: int):
        super().__init__(f"stopped after epoch {epoch}")
        self.epoch = epoch


def prepare_directory(directory: Path, overwrite: bool) -> None:
    """Makes the directory of a run; with `overwrite`, removes an earlier run and nothing else.

    Raises:
        ValueError: as `directories.check`.
        OSError: where it cannot be made.
    """
    # The flags first: what is left without them is no run that could be resumed.
    directories.clear(directory, overwrite, (*RUN_FILES, tensorboard.EVENT_FILES))
    for name in (CHECKPOINTS, PROFILE):
        if (directory / name).is_dir():
            shutil.rmtree(directory / name)


def is_finished(config: Config, directory: Path) -> bool:
    """Whether `directory` holds the summary of `config`, which is written last."""
    try:
        summary = json.loads((directory / SUMMARY_FILE).read_text())
        return Config.from_dict(summary["config"]) == config
    except (OSError, ValueError, KeyError, TypeError):
        return False


def restore(config: Config, splits: Splits, directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The last checkpoint of the run in `directory` that is complete and undamaged.

    Returns:
        The checkpoint, or `None` where none was ever completed: the run then starts at its
        beginning. And a line for each later checkpoint that is damaged.

    Raises:
        ValueError: where all are damaged, or the last is of another run or format, or past the
            epochs of `config`.
    """
    template = state_template(config, splits)
    checkpoint, damaged = checkpoints.restore(
        directory / CHECKPOINTS, _identity(config, splits), template
    )
    if checkpoint and len(checkpoint.rows) > config.epochs:
        raise ValueError(
            f"the run in {directory} is at epoch {len(checkpoint.rows)} of {config.epochs}"
        )
    return checkpoint, damaged


def train(
    config: Config,
    splits: Splits,
    directory: Path | None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    started: float | None = None,
    *,
    programs: Programs | None = None,
    seconds: Mapping[str, float] | None = None,
    checkpoint: Checkpoint | None = None,
    checkpoint_seconds: float = 0.0,
    should_stop: Callable[[], bool] = lambda: False,
    write_events: bool = False,
    profile: bool = False,
) -> dict[str, Any]:
    """Trains, scores the test split once with the final parameters, and writes the run's files.

    Args:
        config: the run.
        splits: its data, as `digits_jax.data.load` gives it.
        directory: an existing folder, which receives metrics.csv (a row as each epoch ends),
            model.safetensors and summary.json. `None` writes nothing: of the processes of a
            job, one writes.
        on_epoch: called after every epoch.
        started: `time.perf_counter()` where `total_seconds` begins; by default, this call.
        programs: as `compile_programs` gives them; by default they are compiled here.
        seconds: what came before, by name, for the summary.
        checkpoint: where to go on from, as `restore` gives it; by default, the beginning.
        checkpoint_seconds: saves a checkpoint at the end of an epoch, where this many seconds have
            passed since training began or the last was saved; 0: never.
        should_stop: asked before the first epoch and after every one. True saves a checkpoint,
            whatever `checkpoint_seconds` is, and ends the run. All processes of a job have to get
            the same answer.
        write_events: writes event files for TensorBoard.
        profile: writes a trace of the second epoch.

    Returns:
        What summary.json holds. In a run that was resumed, `train_seconds` is the sum over all
        epochs of metrics.csv; all other times are of this call alone. `evaluate_seconds` are of the
        validation and test images, `write_seconds` of the model.

    Raises:
        Diverged: where a loss is NaN or infinite; the message names the epoch. No model is written.
        Stopped: where `should_stop` ended the run.
        OSError: where a file or a checkpoint cannot be written.
    """
    started = time.perf_counter() if started is None else started
    rows = list(checkpoint.rows) if checkpoint else []
    done = len(rows)
    if should_stop():
        raise Stopped(done)
    programs = programs or compile_programs(config, splits, write_events)
    evaluate_seconds = 0.0
    if checkpoint:
        state = programs.put(checkpoint.state)
    else:
        state = programs.init(programs.put(hyperparameters(config)))

    with contextlib.ExitStack() as stack:
        append: Callable[[Row], None] = _write_nothing
        save: Callable[[Checkpoint], None] = _write_nothing
        write: Callable[[Epoch], None] = _write_nothing
        if directory:
            append = stack.enter_context(history.appending(directory / METRICS_FILE, rows))
            folder, identity = directory / CHECKPOINTS, _identity(config, splits)
            save = functools.partial(checkpoints.save, folder, identity)
        if directory and write_events:
            write = stack.enter_context(tensorboard.writing(directory, done))
        if should_stop():
            raise Stopped(done)
        saved = time.monotonic()
        trace = directory / PROFILE if directory and profile else None
        for epoch in epochs(config, splits, programs, state, done, trace):
            state, row, *_ = epoch
            evaluate_seconds += epoch.evaluate_seconds
            append(row)
            _check_finite("train_loss", row.train_loss, row.epoch)
            _check_finite("validation_loss", row.validation_loss, row.epoch)
            rows.append(row)
            on_epoch(row)
            write(epoch)
            stopping = row.epoch < config.epochs and should_stop()
            if stopping or 0 < checkpoint_seconds <= time.monotonic() - saved:
                _check_parameters(state, row.epoch)
                save(Checkpoint(state, tuple(rows)))
                saved = time.monotonic()
            if stopping:
                raise Stopped(row.epoch)

    evaluate_started = time.perf_counter()
    test_set = programs.put_split(splits.test)
    test = jax.device_get(programs.evaluate_test(state.params, test_set))
    evaluate_seconds += time.perf_counter() - evaluate_started
    _check_finite("test_loss", decimal(test.loss), config.epochs)
    params = jax.device_get(state.params)
    model = model_file.TrainedModel(params, config, splits.image_shape, splits.num_classes)
    write_started = time.perf_counter()
    if directory:
        model_file.save(directory / MODEL_FILE, model)
    write_seconds = time.perf_counter() - write_started
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    train_seconds = sum(row.seconds for row in rows)
    summary = {
        "test_accuracy": accuracy(test, splits.test),
        "test_loss": decimal(test.loss),
        "test_errors": int(test.errors),
        "test_size": len(splits.test.labels),
        "epochs": config.epochs,
        "steps": config.total_steps,
        "parameters": count_parameters(params),
        **{name: round(value, 4) for name, value in (seconds or {}).items()},
        "compile_seconds": round(programs.seconds, 4),
        "train_seconds": round(train_seconds, 4),
        "evaluate_seconds": round(evaluate_seconds, 4),
        "write_seconds": round(write_seconds, 4),
        "total_seconds": round(time.perf_counter() - started, 4),
        "images_per_second": round(config.total_steps * config.batch_size / train_seconds),
        "device": jax.devices()[0].device_kind,
        "versions": {"python": platform.python_version(), **versions},
        "seed": config.seed,
        "config": dataclasses.asdict(config),
    }
    if directory:
        write_atomically(directory / SUMMARY_FILE, (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def _write_nothing(_: Any) -> None:
    pass


def epochs_may_grow(config: Config) -> bool:
    """Whether the epochs made so far would be the same in a longer run."""
    return config.schedule == "constant"


def _identity(config: Config, splits: Splits) -> dict[str, Any]:
    """What two runs have in common that may restore each other's checkpoints."""
    identity = dataclasses.asdict(config)
    if epochs_may_grow(config):
        del identity["epochs"]
    return {
        **identity,
        "image_shape": splits.image_shape,
        "num_classes": splits.num_classes,
        # An environment variable may change it: other keys, another order of images.
        "random_keys": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
    }


def _check_finite(name: str, loss: float | None, epoch: int) -> None:
    if loss is not None and not math.isfinite(loss):
        raise Diverged(f"{name} became {loss} in epoch {epoch}: try a smaller learning rate")


def _check_parameters(state: TrainState, epoch: int) -> None:
    """The losses of an epoch are from before its last update: they do not tell."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state.params))):
        raise Diverged(
            f"a parameter became nan or inf in epoch {epoch}: try a smaller learning rate"
        )
