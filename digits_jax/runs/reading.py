"""Runs as their directories hold them: read back, put side by side, scored again."""

import csv
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from digits_jax.config import Config
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import make_logits
from digits_jax.losses import LOSSES
from digits_jax.models import Weights
from digits_jax.runs import directories, flags_file, model_file
from digits_jax.runs.directories import (
    BEST,
    FLAGS_FILE,
    METRICS_FILE,
    MODEL_FILE,
    RESULTS_FILE,
    SUMMARY_FILE,
)
from digits_jax.runs.files import read_json
from digits_jax.runs.history import Row
from digits_jax.training import make_model

# What a report shows of summary.json, with what it must be.
SUMMARY_TYPES = {
    float: ("test_accuracy", "test_loss", "train_seconds"),
    int: ("test_errors", "test_size", "epochs", "parameters"),
    str: ("device",),
    dict: ("config",),
}
# A group of runs is named by its settings where that takes no more characters than this.
LABEL_LENGTH = 40


class Run(NamedTuple):
    """A finished run: its settings, what it measured, and the model it ended with."""

    name: str
    directory: Path
    config: Config
    summary: dict[str, Any]
    rows: tuple[Row, ...]
    model: model_file.TrainedModel


class Unfinished(NamedTuple):
    """A run that was stopped, or still goes on: its settings, and its epochs until now."""

    name: str
    directory: Path
    config: Config
    rows: tuple[Row, ...]


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
    confidence: Float[np.ndarray, " n"]  # the probability of the predicted class
    correct: Bool[np.ndarray, " n"]


def read_all(folders: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Reads runs, and puts their number before their names where two have the same.

    Raises:
        ValueError: as `read` and `each_once`.
        OSError: as `read`.
    """
    runs = [read(Path(directory)) for directory in each_once(map(Path, folders))]
    if len({run.name for run in runs}) == len(runs):
        return runs
    return [run._replace(name=f"{number}-{run.name}") for number, run in enumerate(runs, start=1)]


def of_sweep(directory: Path) -> Path:
    """The run that a folder stands for: of a sweep's, that of its best setting.

    Raises:
        ValueError, OSError: as `directories.complete`.
    """
    directories.complete(directory)
    best = directory / BEST
    is_run = (directory / SUMMARY_FILE).exists() or (directory / METRICS_FILE).exists()
    return directory if is_run or not (best / SUMMARY_FILE).is_file() else best


def each_once(folders: Iterable[Path]) -> list[Path]:
    """The folders as given, ready to be read.

    Raises:
        ValueError: in one line, where one is given twice; as `directories.complete`.
        OSError: as `directories.complete`.
    """
    given = list(folders)
    for folder, times in Counter(folder.resolve() for folder in given).items():
        if times > 1:
            raise ValueError(f"{folder}: given {times} times")
        directories.complete(folder)
    return given


def is_sweep(directory: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (directory / RESULTS_FILE).is_file()


def is_unfinished(directory: Path) -> bool:
    """Whether a folder holds a run that has begun to train and has no summary yet."""
    there = [(directory / name).is_file() for name in (FLAGS_FILE, METRICS_FILE, SUMMARY_FILE)]
    return there == [True, True, False]


def read_unfinished(directory: Path) -> Unfinished:
    """Reads flags.txt and what metrics.csv holds until now, but for a line that is not complete.

    Raises:
        ValueError: in one line, where one is damaged.
        OSError: where one cannot be read.
    """
    path = directory / FLAGS_FILE
    lines = flags_file.read(path)
    try:
        config = flags_file.config(lines)
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    rows = _read_metrics(directory / METRICS_FILE, complete=False)
    return Unfinished(name_of(directory), directory, config, rows)


def read(directory: Path) -> Run:
    """Reads what `runs.train` wrote, or from a sweep's folder the run of its best setting.

    Raises:
        ValueError: in one line, where `directory` holds no run, an unfinished or a damaged one.
        OSError: where a file cannot be read.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory}: no such folder")
    directory = of_sweep(directory)
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
        told = " ".join(str(error).split())
        raise ValueError(f"{directory / SUMMARY_FILE}: config: {told}") from None
    if model.config != config:
        raise ValueError(f"{directory}: {MODEL_FILE} and {SUMMARY_FILE} are of different runs")
    epochs = min(summary["epochs"], config.epochs) if config.patience else config.epochs
    if [row.epoch for row in rows] != list(range(1, epochs + 1)):
        raise ValueError(
            f"{directory / METRICS_FILE}: expected a line for each epoch from 1 to {epochs}"
        )
    return Run(name_of(directory), directory, config, summary, rows, model)


def name_of(directory: Path) -> str:
    """What a run is called: as its folder; the best of a sweep as SWEEP-best."""
    *_, parent, name = ("", *directory.resolve().parts)
    return f"{parent}-{name}" if name in (BEST, directories.UNFINISHED) else name


def _read_summary(path: Path) -> dict[str, Any]:
    summary = read_json(path)
    for kind, names in SUMMARY_TYPES.items():
        for name in names:
            value = summary.get(name)
            if not isinstance(value, (int, float) if kind is float else kind):
                raise ValueError(f"{path}: {name} is {value!r}, expected {kind.__name__}")
    return summary


def _read_metrics(path: Path, complete: bool = True) -> tuple[Row, ...]:
    text = path.read_text("utf-8", "replace")
    if not complete:
        text = text[: text.rfind("\n") + 1]
    try:
        header, *lines = [*csv.reader(text.splitlines())] or [[]]
        if tuple(header) != Row._fields:
            raise ValueError(f"its columns are not {', '.join(Row._fields)}")
        return tuple(map(_row, lines))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def _row(line: Sequence[str]) -> Row:
    if len(line) != len(Row._fields):
        raise ValueError(f"a line of {len(line)} values instead of {len(Row._fields)}")
    epoch, step, *numbers = line
    values = [
        # A run without validation images leaves their columns empty.
        None if not number and name.startswith("validation_") else _number(float, name, number)
        for name, number in zip(Row._fields[2:], numbers, strict=True)
    ]
    counts = _number(int, "epoch", epoch), _number(int, "step", step)
    return Row(*counts, *values)  # type: ignore[arg-type]


def _number(kind: type[int] | type[float], name: str, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, expected a number") from None


def group(runs: Sequence[Run]) -> list[Group]:
    """Puts runs together that differ only in their seed, in the order in which they are given.

    A group's label holds its settings as far as they differ between groups, or the name of its
    first run where those are long; a single group's is empty.
    """
    members: dict[tuple[str, ...], dict[int, list[Run]]] = {}
    for run in runs:
        seeds = members.setdefault(tuple(_settings(run).values()), {})
        seeds.setdefault(run.config.seed, []).append(run)
    different, _ = settings([next(iter(seeds.values()))[0] for seeds in members.values()])
    labels = [
        ", ".join(f"{name}={values[index]}" for name, values in different.items())
        for index in range(len(members))
    ]
    if max(map(len, labels)) > LABEL_LENGTH:
        labels = [next(iter(seeds.values()))[0].name for seeds in members.values()]
    return [
        Group(
            label,
            runs=tuple(same[0] for same in seeds.values()),
            repeats=tuple(run for same in seeds.values() for run in same[1:]),
        )
        for label, seeds in zip(labels, members.values(), strict=True)
    ]


def settings(runs: Sequence[Run]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """All settings but the seed, as a person reads them: those that differ, those that do not.

    With them, what else numbers depend on: the data, and options of JAX. `none`: not recorded.
    """
    columns = zip(*(_settings(run).values() for run in runs), strict=True)
    values = dict(zip(_settings(runs[0]), map(list, columns), strict=True))
    different = {name: written for name, written in values.items() if len(set(written)) > 1}
    return different, {name: values[name][0] for name in values if name not in different}


def _settings(run: Run) -> dict[str, str]:
    values = dataclasses.asdict(run.config) | {
        "data": run.model.data[:12] or None,
        "numerics": run.summary.get("numerics"),
    }
    return {name: _written(value) for name, value in values.items() if name != "seed"}


def _written(value: Any) -> str:
    """A list as 128,64; what is not set as none."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


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
    return _predictions(*_predictor(model)(model.params, dataset.images), dataset)


def committee(models: Sequence[model_file.TrainedModel], dataset: Dataset) -> Predictions:
    """What models that differ in their parameters alone say together: their mean probabilities.

    Source: Hansen and Salamon, Neural network ensembles, 1990.
    """
    predictor = _predictor(models[0])
    each = [np.asarray(predictor(model.params, dataset.images)[1]) for model in models]
    probabilities = np.mean(each, axis=0)
    return _predictions(probabilities.argmax(axis=-1), probabilities, dataset)


def _predictor(model: model_file.TrainedModel) -> Callable[[Weights, Array], tuple[Array, Array]]:
    logits_of = make_logits(make_model(model.config, model.image_shape, model.num_classes))
    to_probabilities = LOSSES[model.config.loss].probabilities

    @jax.jit
    def classes_and_probabilities(params: Weights, images: Array) -> tuple[Array, Array]:
        logits = logits_of(params, images)
        return logits.argmax(axis=-1), to_probabilities(logits)

    return classes_and_probabilities


def _predictions(predicted: ArrayLike, probabilities: ArrayLike, dataset: Dataset) -> Predictions:
    predicted, probabilities = np.asarray(predicted), np.asarray(probabilities)
    labels, confidence = np.asarray(dataset.labels), probabilities[range(len(predicted)), predicted]
    return Predictions(labels, predicted, probabilities, confidence, predicted == labels)
