"""Times of what is compared: taken in turn, after a warm-up, as medians with their range."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

K = TypeVar("K")
T = TypeVar("T")
PATIENCE = 10


class Unavailable(Exception):
    """A competitor cannot run; the message says why, in a few words."""


class Timing(NamedTuple):
    """The median time of `n` calls, in seconds."""

    seconds: float
    n: int


class Summary(NamedTuple):
    """The median of `n` measurements and their range."""

    median: float
    minimum: float
    maximum: float
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """The median and the range of at least one measurement."""
    return Summary(statistics.median(values), min(values), max(values), len(values))


def measure(
    function: Callable[[], Any],
    seconds: float,
    least: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """The median time of a call among as many as fit into `seconds`.

    The first does not count where there are others: it finds caches that somebody else has filled.

    Args:
        function: what to call; it returns when its result is there.
        seconds: to spend.
        least: calls to make, also where they take longer; fewer, where even these take longer than
            ten times `seconds`.
        clock: tells the time, in seconds.
    """
    times: list[float] = []
    began = clock()
    while not times or clock() - began < seconds * (PATIENCE if len(times) < least else 1):
        started = clock()
        function()
        times.append(clock() - started)
    counted = times[1:] or times
    return Timing(statistics.median(counted), len(counted))


def interleaved(
    measures: Mapping[K, Callable[[], T]], rounds: int
) -> tuple[dict[K, list[T]], dict[K, Unavailable]]:
    """Calls every measure once a round, so that all meet the same machine.

    Each round begins with the next one: nobody always follows the same.

    Args:
        measures: by name.
        rounds: how often each is called.

    Returns:
        What each gave, without those that failed; and why those did, who take no further part.
    """
    results: dict[K, list[T]] = {name: [] for name in measures}
    failures: dict[K, Unavailable] = {}
    names = list(measures)
    for number in range(rounds):
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            if name not in failures:
                try:
                    results[name].append(measures[name]())
                except Unavailable as failure:
                    failures[name] = failure
    return {name: results[name] for name in names if name not in failures}, failures
