"""results.csv: a row for each run of a sweep."""

import csv
from collections.abc import Sequence
from pathlib import Path

from digits_jax.parallel import sweeps
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


def read_or_make(path: Path, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """Makes results.csv, or drops an incomplete last line of it; gives the rows by their run."""
    found: dict[int, dict[str, str]] = {}
    text = path.read_text() if path.exists() else ""
    complete = text[: text.rfind("\n") + 1]
    for row in csv.DictReader(complete.splitlines()):
        found[int(row["run"])] = row
    if not complete:
        complete = ",".join(columns) + "\n"
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
