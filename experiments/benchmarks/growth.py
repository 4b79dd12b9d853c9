"""Section 4: how time an image grows with the training set, and time a network with their number.

Where more of the same is computed, each should take as long as before.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from digits_jax.gradients import GRADIENTS
from experiments.benchmarks import workers
from experiments.benchmarks.measurements import Effort, Measurement, measurement
from experiments.benchmarks.workers import Worker
from experiments.cli.timing import Unavailable, interleaved, summarise

IMAGES, TIME_AN_IMAGE = "training images", "time an image"
NETWORKS, TIME_A_NETWORK = "networks", "time a network"
Progress = Callable[[str], Any]
# By name and setting: what prepares a measurement, which gives seconds.
Prepare = Mapping[tuple[str, int], Callable[[], Callable[[], float]]]


def images(
    batch_sizes: Sequence[int], train_sizes: Sequence[int], effort: Effort, progress: Progress
) -> Iterator[Measurement]:
    """Time an image with each gradient; no batch is larger than its training set."""

    def prepare(worker: Worker, **fields: Any) -> Callable[[], float]:
        epoch = workers.prepare(worker, ".project.epoch", **fields)
        count = fields["train_size"] // fields["batch_size"] * fields["batch_size"]
        return lambda: epoch.measure("epoch", effort.turn_seconds).seconds / count

    with compilation_cache() as cache, workers.started(cache) as worker:
        ready = {
            (f"{gradients}, batch {batch_size}", train_size): partial(
                prepare, worker, train_size=train_size, batch_size=batch_size, gradients=gradients
            )
            for train_size in train_sizes
            for batch_size in batch_sizes
            if batch_size <= train_size
            for gradients in GRADIENTS
        }
        yield from _in_turn(IMAGES, TIME_AN_IMAGE, ready, effort.rounds, progress)


def sweeps(
    networks: Sequence[int], effort: Effort, platform: str, progress: Progress
) -> Iterator[Measurement]:
    """Time a network in sweeps of so many, over one lane and over all, with each gradient."""

    def prepare(worker: Worker, count: int, gradients: str) -> Callable[[], float]:
        fields = {"networks": count, "gradients": gradients, "epochs": effort.sweep_epochs}
        sweep = workers.prepare(worker, ".project.sweep", **fields)
        sweep.call("seconds")
        return lambda: float(sweep.call("seconds")) / count

    with contextlib.ExitStack() as stack:
        # A sweep compiles at each call: with a cache, the same program once.
        cache = stack.enter_context(compilation_cache())
        ready = {}
        for lane, environment in lanes(platform).items():
            worker = stack.enter_context(workers.started(cache | environment))
            for count in networks:
                # A lane without a network of its own would repeat another's.
                if count >= int(environment.get("JAX_NUM_CPU_DEVICES", 1)):
                    for gradients in GRADIENTS:
                        start = partial(prepare, worker, count, gradients)
                        ready[f"{gradients}, {lane}", count] = start
        yield from _in_turn(NETWORKS, TIME_A_NETWORK, ready, effort.rounds, progress)


def lanes(platform: str) -> dict[str, dict[str, str]]:
    """By name the environment of a process with one lane, and of one with a lane a core.

    Elsewhere than on a CPU the devices are the lanes.
    """
    if platform != "cpu":
        return {f"all {platform} devices": {}}
    return {
        f"{count} lane{'s' if count > 1 else ''}": {"JAX_NUM_CPU_DEVICES": str(count)}
        for count in sorted({1, os.cpu_count() or 1})
    }


@contextlib.contextmanager
def compilation_cache() -> Iterator[dict[str, str]]:
    """The environment in which equal programs are compiled once."""
    with tempfile.TemporaryDirectory() as folder:
        yield {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }


def _in_turn(
    section: str, quantity: str, prepare: Prepare, rounds: int, progress: Progress
) -> Iterator[Measurement]:
    """All that can be prepared, in turn."""
    ready, failures = {}, {}
    for (name, setting), start in prepare.items():
        progress(f"{setting:,} {section}: {name}")
        try:
            ready[name, setting] = start()
        except Unavailable as reason:
            failures[name, setting] = reason
    progress(f"{section}: times in turn")
    results, more = interleaved(ready, rounds)
    found = {key: summarise(values) for key, values in results.items()} | failures | more
    for name, setting in prepare:
        yield measurement(section, name, setting, quantity, "s", found[name, setting])
