"""Runs as their directories hold them: read back, put side by side, scored again."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from digits_jax.config import Config
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import make_logits
from digits_jax.losses import LOSSES
from digits_jax.models import Params
from digits_jax.runs import model_file
from digits_jax.runs.run import FLAGS_FILE, METRICS_FILE, MODEL_FILE, SUMMARY_FILE, Row
from digits_jax.training import make_model

# What a report shows of summary.json, with what it must be.
SUMMARY_TYPES = {
    "test_accuracy": float,
    "test_loss": float,
    "test_errors": int,
    "test_size": int,
    "epochs": int,
    "parameters": int,
    "train_seconds": float,
    "device": str,
    "versions": dict,
    "config": dict,
}
# A group of runs is named by its settings where that takes no more characters than this.
LABEL_LENGTH = 40


class Run(NamedTuple):
    """A finished run: its settings, what it measured, and the model it ended with."""

    directory: Path
    config: Config
    summary: dict[str, Any]
    rows: tuple[Row, ...]
    model: model_file.TrainedModel


class Group(NamedTuple):
    """Runs whose settings differ in nothing but the seed, each seed once.

    `repeats` are further runs of a seed that is among `runs` already: counting them would make the
    spread look smaller than it is.
    """

    label: str
    runs: tuple[Run, ...]
    repeats: tuple[Run, ...]


class Predictions(NamedTuple):
    """What a model makes of labelled images; `probabilities` are those of its loss."""

    labels: Int[np.ndarray, " n"]
    predicted: Int[np.ndarray, " n"]
    probabilities: Float[np.ndarray, "n classes"]

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Whether each prediction is right."""
        correct: np.ndarray = self.predicted == self.labels
        return correct

    @property
    def confidence(self) -> Float[np.ndarray, " n"]:
        """The probability of each predicted class."""
        confidence: np.ndarray = self.probabilities[np.arange(len(self.labels)), self.predicted]
        return confidence

    @property
    def confusion(self) -> Int[np.ndarray, "classes classes"]:
        """As `Metrics.confusion`: rows are labels, columns predictions."""
        classes = self.probabilities.shape[1]
        counts = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return counts.reshape(classes, classes)


def read(directory: Path) -> Run:
    """Reads what `runs.train` wrote.

    Raises:
        ValueError: in one line, where `directory` holds no run, an unfinished or a damaged one.
        OSError: where a file cannot be read.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory}: no such folder")
    if not any((directory / name).exists() for name in (FLAGS_FILE, METRICS_FILE, SUMMARY_FILE)):
        raise ValueError(f"{directory}: not a run: neither {METRICS_FILE} nor {SUMMARY_FILE} there")
    for name in (SUMMARY_FILE, METRICS_FILE, MODEL_FILE):
        if not (directory / name).is_file():
            raise ValueError(f"{directory}: not a finished run: {name} is not there")
    summary = _read_summary(directory / SUMMARY_FILE)
    rows = _read_metrics(directory / METRICS_FILE)
    model = model_file.load(directory / MODEL_FILE)
    try:
        config = Config.from_dict(summary["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{directory / SUMMARY_FILE}: config: {error}") from None
    if model.config != config:
        raise ValueError(f"{directory}: {MODEL_FILE} and {SUMMARY_FILE} are of different runs")
    if [row.epoch for row in rows] != list(range(1, config.epochs + 1)):
        raise ValueError(
            f"{directory / METRICS_FILE}: expected a line for each epoch from 1 to {config.epochs}"
        )
    return Run(directory, config, summary, rows, model)


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    if not isinstance(summary, dict):
        raise ValueError(f"{path}: damaged: not an object")
    for name, kind in SUMMARY_TYPES.items():
        value = summary.get(name)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise ValueError(f"{path}: {name} is {value!r}, expected {kind.__name__}")
    return summary


def _read_metrics(path: Path) -> tuple[Row, ...]:
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        header, *lines = [*csv.reader(file)] or [[]]
    try:
        if tuple(header) != Row._fields:
            raise ValueError(f"its columns are not {', '.join(Row._fields)}")
        return tuple(_row(line) for line in lines)
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def _row(line: Sequence[str]) -> Row:
    if len(line) != len(Row._fields):
        raise ValueError(f"a line of {len(line)} values instead of {len(Row._fields)}")
    epoch, step, *numbers = line
    # A run without validation images leaves their columns empty.
    values = [float(number) if number else None for number in numbers]
    optional = {"validation_loss", "validation_accuracy"}
    for name, value in zip(Row._fields[2:], values, strict=True):
        if value is None and name not in optional:
            raise ValueError(f"{name} is missing")
    return Row(int(epoch), int(step), *values)  # type: ignore[arg-type]


def group(runs: Sequence[Run]) -> list[Group]:
    """Puts runs together that differ only in their seed, in the order in which they are given.

    A group's label holds its settings as far as they differ between groups, or its number where
    those are long; a single group's is empty.
    """
    members: dict[Config, dict[int, list[Run]]] = {}
    for run in runs:
        seeds = members.setdefault(dataclasses.replace(run.config, seed=0), {})
        seeds.setdefault(run.config.seed, []).append(run)
    labels = _labels(list(members))
    return [
        Group(
            label,
            runs=tuple(same[0] for same in seeds.values()),
            repeats=tuple(run for same in seeds.values() for run in same[1:]),
        )
        for label, seeds in zip(labels, members.values(), strict=True)
    ]


def differing(configs: Sequence[Config]) -> list[str]:
    """The names of the settings, other than the seed, that are not the same in all `configs`."""
    return [
        field.name
        for field in dataclasses.fields(Config)
        if field.name != "seed" and len({getattr(config, field.name) for config in configs}) > 1
    ]


def setting(config: Config, name: str) -> str:
    """A setting as a person reads it: a list as 128,64, what is not set as none."""
    value = getattr(config, name)
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _labels(configs: Sequence[Config]) -> list[str]:
    names = differing(configs)
    labels = [", ".join(f"{name}={setting(config, name)}" for name in names) for config in configs]
    if max(map(len, labels)) > LABEL_LENGTH:
        return [f"group {number}" for number in range(1, len(configs) + 1)]
    return labels


def check_data(run: Run, splits: Splits) -> None:
    """Checks that `splits` can be the data of `run`.

    Raises:
        ValueError: in one line, where images or classes are others than its model was made for.
    """
    made_for = (run.model.image_shape, run.model.num_classes)
    found = (splits.image_shape, splits.num_classes)
    if made_for != found:
        told = ["{} x {} pixels in {} classes".format(*shape, n) for shape, n in (made_for, found)]
        raise ValueError(
            f"{run.directory}: its model is for images of {told[0]}, the data now hold {told[1]}"
        )


def predict(model: model_file.TrainedModel, dataset: Dataset) -> Predictions:
    """Applies a model to every image of a split; a prediction is the class of the largest logit."""
    logits_of = make_logits(make_model(model.config, model.image_shape, model.num_classes))
    to_probabilities = LOSSES[model.config.loss].probabilities

    @jax.jit
    def predictions(params: Params, images: Array) -> tuple[Array, Array]:
        logits = logits_of(params, images)
        return logits.argmax(axis=-1), to_probabilities(logits)

    predicted, probabilities = jax.device_get(predictions(model.params, dataset.images))
    return Predictions(np.asarray(dataset.labels), predicted, probabilities)
