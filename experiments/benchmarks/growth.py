"""Section 4: how time grows with the training set, with the network, with the number of networks.

Where more of the same is computed, time an image, or a network, should stay what it is.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from digits_jax.config import GRADIENTS
from experiments.benchmarks import workers
from experiments.benchmarks.rows import Row, measured
from experiments.benchmarks.timing import interleaved, summarise
from experiments.benchmarks.workers import Worker

IMAGES, WIDTH, DEPTH, NETWORKS = "training images", "hidden units", "hidden layers", "networks"
MODULE = "experiments.benchmarks.competitors"
LAYER = 30  # units of each layer of the deeper networks


class Settings(NamedTuple):
    """What is varied, and `rounds` turns of `seconds` each for every point."""

    batch_sizes: Sequence[int]
    train_sizes: Sequence[int]
    widths: Sequence[int]
    depths: Sequence[int]
    networks: Sequence[int]
    network_epochs: int
    rounds: int
    seconds: float


def rows(settings: Settings, progress: Callable[[str], Any]) -> Iterator[Row]:
    """Time an image against the training set's size, the width and the depth.

    Args:
        settings: how much is measured.
        progress: is told what is being done.
    """
    first = settings.batch_sizes[0]
    for axis, batch_sizes, values, field in (
        (IMAGES, settings.batch_sizes, settings.train_sizes, "train_size"),
        (WIDTH, [first], settings.widths, "hidden"),
        (DEPTH, [first], settings.depths, "hidden"),
    ):
        with workers.started() as worker:
            points = {}
            for value in values:
                setting = {IMAGES: value, WIDTH: [value], DEPTH: [LAYER] * value}[axis]
                for batch_size in batch_sizes:
                    if axis == IMAGES and batch_size > value:
                        continue
                    for gradients in GRADIENTS:
                        progress(f"{axis} {value:,}, batch {batch_size}: {gradients}")
                        name, key = (
                            f"{gradients}, batch {batch_size}",
                            f"{gradients} {batch_size} {value}",
                        )
                        arguments = {"batch_size": batch_size, "gradients": gradients}
                        workers.prepare(
                            worker, key, f"{MODULE}.project", **arguments, **{field: setting}
                        )
                        images = value if axis == IMAGES else 10_000
                        points[name, value, images // batch_size * batch_size] = partial(
                            workers.time_turn, worker, key, "epoch", settings.seconds
                        )
            progress(f"{axis}: times in turn")
            for (name, value, images), samples in interleaved(points, settings.rounds).items():
                times = summarise([sample.seconds / images for sample in samples])
                yield measured(axis, name, value, "time an image", "s", times)


def network_rows(
    settings: Settings, platform: str, progress: Callable[[str], Any]
) -> Iterator[Row]:
    """Time a network against their number, on one lane and on as many as there are cores.

    Args:
        settings: how much is measured.
        platform: what JAX computes on, as in cpu: elsewhere its devices are the lanes.
        progress: is told what is being done.
    """
    with contextlib.ExitStack() as stack:
        lanes: dict[int, Worker] = {}
        # A sweep compiles at each call: the same program once here, and only then.
        cache = {
            "JAX_COMPILATION_CACHE_DIR": stack.enter_context(tempfile.TemporaryDirectory()),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for count in sorted({1, os.cpu_count() or 1}) if platform == "cpu" else [0]:
            environment = cache | ({"JAX_NUM_CPU_DEVICES": str(count)} if count else {})
            lanes[count] = stack.enter_context(workers.started(environment))
        points = {}
        for count, worker in lanes.items():
            lane = f"{count} lane{'s' if count > 1 else ''}" if count else f"all {platform} devices"
            # A lane without a network of its own would repeat another's.
            for networks in [number for number in settings.networks if number >= count]:
                for gradients in GRADIENTS:
                    key = f"{gradients} {networks}"
                    progress(f"{networks} networks, {lane}: {gradients}")
                    workers.prepare(
                        worker,
                        key,
                        f"{MODULE}.networks",
                        networks=networks,
                        gradients=gradients,
                        epochs=settings.network_epochs,
                    )
                    take = partial(workers.call, worker, key, "seconds")
                    take()
                    points[f"{gradients}, {lane}", networks] = take
        progress(f"{NETWORKS}: times in turn")
        for (name, networks), times in interleaved(points, settings.rounds).items():
            found = summarise([seconds / networks for seconds in times])
            yield measured(NETWORKS, name, networks, "time a network", "s", found)
