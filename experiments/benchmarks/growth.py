"""Section 4: how time an image grows with the training set, and with the network's size.

Where more of the same is computed, time an image should stay what it is.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from digits_jax.gradients import GRADIENTS
from experiments.benchmarks import workers
from experiments.benchmarks.rows import Row, measured, missing
from experiments.benchmarks.timing import Unavailable, interleaved, summarise
from experiments.peers.classic import TRAIN_SIZE

IMAGES, WIDTH, DEPTH = "training images", "hidden units", "hidden layers"
QUANTITY, UNIT = "time an image", "s"
LAYER = 30  # units of each layer of the deeper networks


class Settings(NamedTuple):
    """What is varied, and `rounds` turns of `seconds` each for every point.

    Networks of other sizes are measured at the first of `batch_sizes` alone.
    """

    batch_sizes: Sequence[int]
    train_sizes: Sequence[int]
    widths: Sequence[int]
    depths: Sequence[int]
    rounds: int
    seconds: float


class Point(NamedTuple):
    """A value on an axis, with the fields of Config that it stands for."""

    axis: str
    value: int
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """What is compared over an axis."""
        return f"{self.settings['gradients']}, batch {self.settings['batch_size']}"

    @property
    def images(self) -> int:
        """The images of an epoch, which are whole batches."""
        size, batch_size = self.settings["train_size"], self.settings["batch_size"]
        return int(size // batch_size * batch_size)


def points(settings: Settings) -> list[Point]:
    """All of every axis, with each gradient; no batch larger than its training set."""
    found = []
    for axis, values, batch_sizes in (
        (IMAGES, settings.train_sizes, settings.batch_sizes),
        (WIDTH, settings.widths, settings.batch_sizes[:1]),
        (DEPTH, settings.depths, settings.batch_sizes[:1]),
    ):
        for value in values:
            train_size = value if axis == IMAGES else TRAIN_SIZE
            hidden = {IMAGES: [LAYER], WIDTH: [value], DEPTH: [LAYER] * value}[axis]
            fields = {"train_size": train_size, "hidden": hidden}
            found += [
                Point(axis, value, fields | {"batch_size": batch_size, "gradients": gradients})
                for batch_size in batch_sizes
                if batch_size <= train_size
                for gradients in GRADIENTS
            ]
    return found


@contextlib.contextmanager
def compilation_cache() -> Iterator[dict[str, str]]:
    """The environment in which equal programs are compiled once."""
    with tempfile.TemporaryDirectory() as folder:
        yield {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }


def rows(settings: Settings, progress: Callable[[str], Any]) -> Iterator[Row]:
    """Time an image at every point of every axis.

    Args:
        settings: how much is measured.
        progress: is told what is being done.
    """
    for axis in (IMAGES, WIDTH, DEPTH):
        here = [point for point in points(settings) if point.axis == axis]
        if here:
            yield from _axis(here, settings, progress)


def _axis(
    here: Sequence[Point], settings: Settings, progress: Callable[[str], Any]
) -> Iterator[Row]:
    with compilation_cache() as cache, workers.started(cache) as worker:
        ready = {}
        for index, point in enumerate(here):
            progress(f"{point.axis} {point.value:,}: {point.name}")
            try:
                workers.prepare(worker, str(index), workers.competitor("project"), **point.settings)
            except Unavailable as reason:
                yield missing(point.axis, point.name, point.value, QUANTITY, UNIT, str(reason))
                continue
            ready[index] = partial(workers.time_turn, worker, str(index), "epoch", settings.seconds)
        progress("times in turn")
        results, failures = interleaved(ready, settings.rounds)
        for index, failure in failures.items():
            point = here[index]
            yield missing(point.axis, point.name, point.value, QUANTITY, UNIT, str(failure))
        for index, samples in results.items():
            point = here[index]
            times = summarise([sample.seconds / point.images for sample in samples])
            yield measured(point.axis, point.name, point.value, QUANTITY, UNIT, times)
