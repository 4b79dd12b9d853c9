"""One run in a directory of its own: train, and write metrics, summary and model."""

import csv
import dataclasses
import importlib.metadata
import json
import math
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax import export
from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import Metrics
from digits_jax.files import write_atomically
from digits_jax.models import Params, count_parameters
from digits_jax.training import TrainMetrics, TrainState, make_training

FLAGS_FILE, METRICS_FILE = "flags.txt", "metrics.csv"
SUMMARY_FILE, MODEL_FILE = "summary.json", "model.safetensors"
RUN_FILES = (FLAGS_FILE, METRICS_FILE, SUMMARY_FILE, MODEL_FILE)
PACKAGES = ("digits_jax", "jax", "jaxlib", "optax", "numpy")


class Diverged(ArithmeticError):
    """The loss became NaN or infinite."""


class Row(NamedTuple):
    """One epoch in metrics.csv; the validation columns are `None` without validation images.

    Training figures are means over the epoch's batches, each taken before its update;
    `learning_rate` is that of the last update; `seconds` are of training alone.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


class Programs(NamedTuple):
    """The compiled programs of a run."""

    init: Callable[[Hyperparameters], TrainState]
    epoch: Callable[[Hyperparameters, TrainState, Dataset], tuple[TrainState, TrainMetrics]]
    evaluate_validation: Callable[[Params, Dataset], Metrics] | None
    evaluate_test: Callable[[Params, Dataset], Metrics]


def compile_programs(config: Config, splits: Splits) -> Programs:
    """Compiles a run ahead of time, so that compile time and training time can be told apart."""
    training = make_training(config, splits.image_shape, splits.num_classes)
    numbers = hyperparameters(config)
    state = jax.eval_shape(training.init, numbers)
    evaluate = jax.jit(training.evaluate)

    def evaluation(dataset: Dataset) -> Callable[[Params, Dataset], Metrics]:
        return evaluate.lower(state.params, dataset).compile()

    evaluate_test = evaluation(splits.test)
    if len(splits.validation.labels) == 0:
        evaluate_validation = None
    elif len(splits.validation.labels) == len(splits.test.labels):
        evaluate_validation = evaluate_test
    else:
        evaluate_validation = evaluation(splits.validation)
    epoch = jax.jit(training.epoch, donate_argnums=1)
    return Programs(
        init=jax.jit(training.init).lower(numbers).compile(),
        epoch=epoch.lower(numbers, state, splits.train).compile(),
        evaluate_validation=evaluate_validation,
        evaluate_test=evaluate_test,
    )


def check_directory(directory: Path, overwrite: bool) -> None:
    """Checks that a run may write into `directory`, which need not exist.

    Raises:
        ValueError: where it is not a folder, or not empty and `overwrite` is false.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is not a folder")
    if directory.exists() and any(directory.iterdir()) and not overwrite:
        raise ValueError(f"{directory} is not empty: choose another workdir, or give --overwrite")


def prepare_directory(directory: Path, overwrite: bool, files: Iterable[str] = RUN_FILES) -> None:
    """Makes `directory`; with `overwrite`, removes the files of an earlier run and nothing else.

    Args:
        directory: the folder.
        overwrite: whether it may hold files already.
        files: names of those that a run writes.

    Raises:
        ValueError: as `check_directory`.
        OSError: where it cannot be made.
    """
    check_directory(directory, overwrite)
    directory.mkdir(parents=True, exist_ok=True)
    for name in files:
        (directory / name).unlink(missing_ok=True)


def train(
    config: Config,
    splits: Splits,
    directory: Path,
    on_epoch: Callable[[Row], None] = lambda row: None,
    started: float | None = None,
) -> dict[str, Any]:
    """Trains, scores the test split once with the final parameters, and writes the run's files.

    Args:
        config: the run.
        splits: its data, as `digits_jax.data.load` gives it.
        directory: an existing folder, which receives metrics.csv (a row as each epoch ends),
            model.safetensors and summary.json.
        on_epoch: called after every epoch.
        started: `time.perf_counter()` where `total_seconds` begins; by default, this call.

    Returns:
        What summary.json holds.

    Raises:
        Diverged: where a loss is NaN or infinite; the message names the epoch. No model is written.
    """
    started = time.perf_counter() if started is None else started
    compile_started = time.perf_counter()
    programs = compile_programs(config, splits)
    compile_seconds = time.perf_counter() - compile_started

    numbers, train_set, validation_set, test_set = jax.device_put(
        (hyperparameters(config), splits.train, splits.validation, splits.test)
    )
    state = programs.init(numbers)
    train_seconds = 0.0
    with open(directory / METRICS_FILE, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for epoch in range(1, config.epochs + 1):
            epoch_started = time.perf_counter()
            state, metrics = programs.epoch(numbers, state, train_set)
            metrics.loss.block_until_ready()
            seconds = time.perf_counter() - epoch_started
            train_seconds += seconds
            validation = programs.evaluate_validation and programs.evaluate_validation(
                state.params, validation_set
            )
            row = Row(
                epoch=epoch,
                step=int(state.step),
                train_loss=_decimal(metrics.loss),
                train_accuracy=_decimal(metrics.accuracy),
                validation_loss=validation and _decimal(validation.loss),
                validation_accuracy=validation and _decimal(validation.accuracy),
                learning_rate=_decimal(metrics.learning_rate),
                seconds=round(seconds, 6),
            )
            writer.writerow(row)
            file.flush()
            for name in ("train_loss", "validation_loss"):
                _check_finite(name, getattr(row, name), epoch)
            on_epoch(row)

    test = programs.evaluate_test(state.params, test_set)
    _check_finite("test_loss", _decimal(test.loss), config.epochs)
    model = export.TrainedModel(state.params, config, splits.image_shape, splits.num_classes)
    export.save(directory / MODEL_FILE, model)
    summary = {
        "test_accuracy": _decimal(test.accuracy),
        "test_loss": _decimal(test.loss),
        "test_errors": int(test.errors),
        "test_size": len(splits.test.labels),
        "epochs": config.epochs,
        "steps": int(state.step),
        "parameters": count_parameters(state.params),
        "compile_seconds": round(compile_seconds, 4),
        "train_seconds": round(train_seconds, 4),
        "total_seconds": round(time.perf_counter() - started, 4),
        "images_per_second": round(config.total_steps * config.batch_size / train_seconds),
        "device": jax.devices()[0].device_kind,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "seed": config.seed,
        "config": dataclasses.asdict(config),
    }
    write_atomically(directory / SUMMARY_FILE, (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def _decimal(scalar: Any) -> float:
    """A float32 as the shortest decimal that names it: 0.9361, not 0.9361000061035156."""
    return float(str(np.asarray(scalar)))


def _check_finite(name: str, loss: float | None, epoch: int) -> None:
    if loss is not None and not math.isfinite(loss):
        raise Diverged(f"{name} became {loss} in epoch {epoch}: try a smaller learning rate")
