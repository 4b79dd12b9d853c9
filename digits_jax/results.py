"""Runs as columns, one entry a run: trained by `sweep`, or read from folders by `load_runs`.

A table is a dict of NumPy arrays of equal length, as `pandas.DataFrame` and `pyarrow.table` take.
"""

import csv
import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from digits_jax import data
from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.parallel import halving as search
from digits_jax.parallel import sweeps
from digits_jax.parallel.halving import accuracy
from digits_jax.parallel.sweeps import Outcome
from digits_jax.runs import directories, flags_file, reading

Table: TypeAlias = dict[str, np.ndarray]
FIELDS = {field.name: field.type for field in dataclasses.fields(Config)}
IDENTITY = ("data", "numerics")
OUTCOMES = (
    "trained_epochs",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "test_errors",
    "seconds",
)
# Of the columns of results.csv.
KINDS: dict[str, Any] = {
    **{name: kind if kind in (int, float) else str for name, kind in FIELDS.items()},
    **dict.fromkeys(OUTCOMES, float),
    **dict.fromkeys(IDENTITY, str),
    **dict.fromkeys(("run", "trained_epochs"), int),
}
LACKED = ("validation_loss", "validation_accuracy")  # by runs without such images
CURVES = (
    "run",
    "epoch",
    "step",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "gradient_norms",
)


def outcomes(outcome: Outcome, splits: Splits, seconds: float) -> list[dict[str, Any]]:
    """The `OUTCOMES` of runs that ended together, `None` for what they lack; `seconds` of each."""
    validation = outcome.validation_errors
    return [
        {
            "trained_epochs": int(outcome.epochs[run]),
            "train_loss": outcome.train_loss[run],
            "train_accuracy": outcome.train_accuracy[run],
            "validation_loss": None if validation is None else outcome.validation_loss[run],  # type: ignore[index]
            "validation_accuracy": None
            if validation is None
            else accuracy(validation[run], len(splits.validation.labels)),
            "test_loss": outcome.test_loss[run],
            "test_accuracy": accuracy(outcome.test_errors[run], len(splits.test.labels)),
            "test_errors": int(outcome.test_errors[run]),
            "seconds": float(f"{seconds:.4g}"),
        }
        for run in range(len(outcome.test_errors))
    ]


def curves(
    outcome: Outcome, splits: Splits, steps_per_epoch: int, runs: Sequence[int]
) -> Iterator[str]:
    """The epochs of runs as lines of `CURVES`; what was not asked for is an empty cell.

    The norms of the layers' gradients are in one cell, separated by spaces, the first layer first.
    """
    curve, scored = outcome.curve, outcome.validation_curve
    figures: list[Any] = [curve.loss, curve.accuracy, None, None, curve.learning_rate]
    if scored is not None:
        figures[2:4] = scored.loss, 1 - scored.errors / len(splits.validation.labels)
    line = ",".join("" if figure is None else "%.6g" for figure in figures) + ","
    norms = curve.gradient_norms or ()
    line += " ".join(["%.6g"] * len(norms))
    kept = np.stack([figure for figure in (*figures, *norms) if figure is not None], -1)
    for place, (run, epochs) in enumerate(zip(runs, outcome.epochs.tolist(), strict=True)):
        for epoch, row in enumerate(kept[place, :epochs].tolist(), start=1):
            yield f"{run},{epoch},{epoch * steps_per_epoch},{line % tuple(row)}\n"


def sweep(
    configs: Config | Sequence[Config],
    varied: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = range(5),
    *,
    splits: Splits | None = None,
    halving: int = 0,
    chunk: int | None = None,
) -> Table:
    """Trains many runs at once: every combination of `varied` with every seed.

    A second sweep of the same shapes compiles nothing.

    Args:
        configs: what is not varied; or the runs themselves, each with its seed.
        varied: by field of Config, its values.
        seeds: of each setting.
        splits: the data; by default, those that the Configs name.
        halving: with 3, a third of the settings goes on at each stage; 0: all run to their end.
        chunk: runs that a device trains in one call; by default, as many as are good there.

    Returns:
        A table, a row a run: all fields of Config and `OUTCOMES`, NaN for what a run lacks.

    Raises:
        ValueError: in one line, where a value or a combination is not valid.
    """
    if isinstance(configs, Config):
        configs = sweeps.combinations(configs, varied or {}, seeds)
    cached = functools.lru_cache(maxsize=2)(data.load)

    def load(config: Config) -> Splits:
        return splits if splits is not None else cached(**config.data_settings)

    found: dict[int, dict[str, Any]] = {}
    for runs, outcome, seconds in search.train(configs, load, chunk, halving):
        if outcome is not None:
            rows = outcomes(outcome, load(configs[runs[0]]), seconds / len(runs))
            found |= zip(runs, rows, strict=True)
    return table([settings(configs[run]) | found[run] for run in range(len(configs))])


def load_runs(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Table:
    """The finished runs of folders, of single runs and of sweeps alike.

    Returns:
        A table, a row a run: its `folder`, `run` (its number in a sweep, else 0), all fields of
        Config, `OUTCOMES`, and `IDENTITY`, which is equal where runs had the same images and were
        computed alike.

    Raises:
        ValueError: in one line, where a folder holds no finished run, or a damaged one.
        OSError: where a file cannot be read.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    rows: list[dict[str, Any]] = []
    for folder in reading.each_once(map(Path, paths)):
        rows += of_sweep(folder)[1] if reading.is_sweep(folder) else [_of_run(reading.read(folder))]
    return table(rows)


def _of_run(run: reading.Run) -> dict[str, Any]:
    found = {**run.rows[-1]._asdict(), **run.summary, **settings(run.config)}
    found |= {"folder": str(run.directory), "run": 0, "data": run.model.data[:12]}
    found |= {"seconds": run.summary["train_seconds"], "trained_epochs": run.rows[-1].epoch}
    return {name: found.get(name) for name in ("folder", "run", *FIELDS, *OUTCOMES, *IDENTITY)}


def of_sweep(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The varied fields of a sweep, and its finished runs as rows; it may still go on.

    Raises:
        ValueError, OSError: as `load_runs`.
    """
    path = folder / directories.RESULTS_FILE
    base = settings(flags_file.config(flags_file.read(folder / directories.FLAGS_FILE)))
    text = path.read_text("utf-8", "replace")
    # A sweep that was killed within a line writes it again.
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    names = ("folder", "run", *FIELDS, *OUTCOMES, *IDENTITY)
    before = {"folder": str(folder), "trained_epochs": base["epochs"], **base}  # earlier versions
    rows = []
    try:
        header, *cells = csv.reader(lines)
        varied = header[1 : header.index("seed")]
        if header[0] != "run" or not set(varied) <= FIELDS.keys():
            raise ValueError(f"its columns are {','.join(header)[:99]!r}")
        for line in cells:
            row = before | _typed(dict(zip(header, line, strict=True)))
            rows.append({name: row.get(name) for name in names})
    except (csv.Error, KeyError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    return varied, rows


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a line of results.csv that a table holds; runs may lack validation figures.

    Raises:
        ValueError: where one is not of its type, or no share.
    """
    found: dict[str, Any] = {
        name: KINDS[name](text) if text or name not in LACKED else None
        for name, text in row.items()
        if name in KINDS
    }
    for name in ("validation_accuracy", "test_accuracy"):
        if row[name] and not 0 <= found[name] <= 1:
            raise ValueError(f"{name} is {row[name]}, not between 0 and 1")
    return found


def settings(config: Config) -> dict[str, Any]:
    """The fields of a Config as cells: layers joined by commas, nothing for what is not set."""
    return {
        name: ",".join(value) if isinstance(value, tuple) else "" if value is None else value
        for name, value in vars(config).items()
    }


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of the same names as columns; `None` becomes NaN."""
    names = rows[0] if rows else {}
    return {
        name: np.array([np.nan if row[name] is None else row[name] for row in rows])
        for name in names
    }


def select(columns: Table, chosen: Any) -> Table:
    """Some rows of a table, by a mask or their numbers."""
    return {name: column[chosen] for name, column in columns.items()}


def group(columns: Table, names: Sequence[str]) -> dict[tuple[Any, ...], Table]:
    """The rows of a table by their values in some columns, in the order of their first ones."""
    rows: dict[tuple[Any, ...], list[int]] = {}
    for number, key in enumerate(zip(*(columns[name].tolist() for name in names), strict=True)):
        rows.setdefault(key, []).append(number)
    if not names:
        return {(): columns}
    return {key: select(columns, numbers) for key, numbers in rows.items()}
