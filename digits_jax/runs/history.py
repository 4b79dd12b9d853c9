"""metrics.csv: the history of a run, a row for each epoch."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from digits_jax.runs.files import naming, write_atomically


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


@contextlib.contextmanager
def appending(path: Path, rows: Iterable[Row]) -> Iterator[Callable[[Row], None]]:
    """Replaces `path` by a table of `rows`, and gives a function that appends one more.

    Raises:
        OSError: where the disk is full; the last line may then be incomplete.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())

    with open(path, "a", newline="") as file:
        appender = csv.writer(file, lineterminator="\n")

        def append(row: Row) -> None:
            with naming(path):
                appender.writerow(row)
                file.flush()

        yield append
