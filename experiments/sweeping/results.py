"""results.csv: a row for each run of a sweep."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from digits_jax.config import Config
from digits_jax.parallel import sweeps
from digits_jax.runs import identity
from digits_jax.runs.directories import FLAGS_FILE
from digits_jax.runs.files import write_atomically

OUTCOME_COLUMNS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "test_errors",
    "seconds",
)
# What a row was made with, beside the values that are varied: digests, and options of JAX.
MADE_WITH = ("settings", "data", "numerics")


def made_with(config: Config, data: str) -> dict[str, str]:
    """What the row of a run holds in the columns `MADE_WITH`; `data` is their SHA-256."""
    default = identity.settings(Config())  # left out: a later version may have more of them
    own = {
        name: value for name, value in identity.settings(config).items() if value != default[name]
    }
    settings = json.dumps(own, sort_keys=True).encode()
    digests = hashlib.sha256(settings).hexdigest()[:12], data[:12]
    return dict(zip(MADE_WITH, (*digests, identity.numerics()), strict=True))


def read_or_make(
    path: Path, columns: Sequence[str], runs: Sequence[Mapping[str, str]]
) -> dict[int, dict[str, str]]:
    """Makes results.csv, or drops an incomplete last line of it; gives the rows by their run.

    Args:
        path: the file.
        columns: its columns.
        runs: what the row of each run has to hold, by column.

    Raises:
        ValueError: in one line, where a row is damaged, there twice, or of another sweep.
    """
    found: dict[int, dict[str, str]] = {}
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    complete = text[: text.rfind("\n") + 1] or ",".join(columns) + "\n"
    header, *lines = csv.reader(complete.splitlines())
    if header != list(columns):
        raise ValueError(f"{path}: not of this sweep: its columns are not {','.join(columns)}")
    for number, cells in enumerate(lines, start=2):
        try:
            row = dict(zip(columns, cells, strict=True))
            run, expected = int(row["run"]), runs[int(row["run"])]
            for name in OUTCOME_COLUMNS:
                float(row[name] or "nan")
        except (ValueError, IndexError):
            raise ValueError(f"{path}: line {number} is damaged, or of another sweep") from None
        if run in found:
            raise ValueError(f"{path}: run {run} is there twice")
        for name, here in expected.items():
            if row[name] != here:
                raise ValueError(
                    f"{path}: run {run} is of another sweep: its {name} is {row[name]}, and that "
                    f"of the sweep in {path.with_name(FLAGS_FILE)} {here}"
                )
        found[run] = row
    if complete != text:
        write_atomically(path, complete.encode())
    return found


def rows(
    outcome: sweeps.Outcome, validation_size: int, test_size: int, seconds: float
) -> list[list[str]]:
    """The outcome columns of each run of a finished call."""
    cells = []
    for run in range(len(outcome.test_errors)):
        validation = ["", ""]
        if outcome.validation_loss is not None and outcome.validation_errors is not None:
            accuracy = 1 - int(outcome.validation_errors[run]) / validation_size
            validation = [str(outcome.validation_loss[run]), f"{accuracy:.6g}"]
        cells.append(
            [
                str(outcome.train_loss[run]),
                str(outcome.train_accuracy[run]),
                *validation,
                str(outcome.test_loss[run]),
                f"{1 - int(outcome.test_errors[run]) / test_size:.6g}",
                str(outcome.test_errors[run]),
                f"{seconds:.4g}",
            ]
        )
    return cells
