"""What the benchmark measured: a row a measurement, the same form for every section."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from experiments.cli.timing import Summary


class Row(NamedTuple):
    """A quantity of a competitor in a setting: median and range of `n` measurements.

    `setting` is what a section varies, as text. Where nothing was measured, `note` says why.
    """

    section: str
    name: str
    setting: str
    quantity: str
    unit: str
    median: float | None
    minimum: float | None
    maximum: float | None
    n: int
    note: str = ""


def measured(
    section: str,
    name: str,
    setting: object,
    quantity: str,
    unit: str,
    found: Summary,
    note: str = "",
) -> Row:
    """A row of what was found."""
    return Row(section, name, str(setting), quantity, unit, *found, note)


def missing(section: str, name: str, setting: object, quantity: str, unit: str, note: str) -> Row:
    """A row that says why nothing was found."""
    return Row(section, name, str(setting), quantity, unit, None, None, None, 0, note)


def find(
    rows: Sequence[Row], section: str, name: str, setting: object, quantity: str
) -> Row | None:
    """The row of these keys, measured or not."""
    keys = (section, name, str(setting), quantity)
    return next((row for row in rows if row[:4] == keys), None)


def median(
    rows: Sequence[Row], section: str, name: str, setting: object, quantity: str
) -> float | None:
    """The median of the row of these keys, if it was measured."""
    row = find(rows, section, name, setting, quantity)
    return row.median if row else None


def to_csv(rows: Sequence[Row]) -> str:
    """All rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue()
