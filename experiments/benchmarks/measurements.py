"""What the benchmark measured, in the same form for every section."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.cli.timing import Summary


class Effort(NamedTuple):
    """How much is measured.

    `rounds` turns of `turn_seconds` of every competitor; accuracy of `seeds` trainings of
    `score_epochs`; `starts` of every process, which trains `process_epochs`; sweeps of
    `sweep_epochs`.
    """

    rounds: int
    turn_seconds: float
    seeds: int
    score_epochs: int
    starts: int
    process_epochs: int
    sweep_epochs: int


class Measurement(NamedTuple):
    """A quantity of a competitor in a setting: median and range of `n`.

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


def measurement(
    section: str,
    name: str,
    setting: object,
    quantity: str,
    unit: str,
    found: Summary | Exception,
    note: str = "",
) -> Measurement:
    """What was found, or why nothing was."""
    if isinstance(found, Exception):
        found, note = Summary(None, None, None, 0), str(found)  # type: ignore[arg-type]
    return Measurement(section, name, str(setting), quantity, unit, *found, note)


def select(measurements: Iterable[Measurement], section: str, quantity: str) -> list[Measurement]:
    """Those of a quantity, in the order of measuring."""
    return [m for m in measurements if (m.section, m.quantity) == (section, quantity)]


def median(
    measurements: Iterable[Measurement], section: str, name: str, setting: object, quantity: str
) -> float | None:
    """The median of these keys, if it was measured."""
    keys = (section, name, str(setting), quantity)
    return next((m.median for m in measurements if m[:4] == keys), None)


def to_csv(measurements: Sequence[Measurement]) -> str:
    """All of them, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Measurement._fields)
    writer.writerows(measurements)
    return text.getvalue()
