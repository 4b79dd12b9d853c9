"""What the benchmark measures, in the same form for every section, and how it is measured."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tqdm import tqdm

from experiments.cli.timing import Unavailable, interleaved, summarise

# Quantities, and the units that they are in.
EPOCH, ACCURACY, RATE = "epoch", "test accuracy", "sgemm"
TIME, MEMORY = "time", "memory"
TIME_AN_IMAGE, TIME_A_NETWORK = "time an image", "time a network"
UNITS = {ACCURACY: "", RATE: "FLOP/s", MEMORY: "B"}  # all others: s

# What gives every quantity once.
Turn = Callable[[], dict[str, float]]


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


def take_turns(
    section: str,
    quantity: str,
    competitors: Mapping[tuple[str, Any], Callable[[], Turn]],
    rounds: int,
) -> Iterator[Measurement]:
    """Prepares all competitors, then lets them take turns, so often each.

    Args:
        section: names the measurements.
        quantity: what a competitor that fails is missing.
        competitors: by name and setting what prepares one.
        rounds: turns of each.
    """
    ready, failures = {}, {}
    with tqdm(total=(1 + rounds) * len(competitors), desc=section, disable=None) as bar:

        def told(key: tuple[str, Any], function: Callable[[], Any]) -> Any:
            bar.set_postfix_str(f"{key[0]}, {key[1]}")
            bar.update()
            return function()

        for key, prepare in competitors.items():
            try:
                ready[key] = partial(told, key, told(key, prepare))
            except Unavailable as reason:
                failures[key] = reason
        results, more = interleaved(ready, rounds)
    failures |= more
    for name, setting in competitors:
        of = partial(Measurement, section, name, str(setting))
        if why := failures.get((name, setting)):
            yield of(quantity, "s", None, None, None, 0, str(why))
            continue
        turns: list[dict[str, float]] = results[name, setting]
        for measured in turns[0]:
            found = summarise([turn[measured] for turn in turns])
            yield of(measured, UNITS.get(measured, "s"), *found)


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
