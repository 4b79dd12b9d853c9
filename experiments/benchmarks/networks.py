"""Section 4, continued: how time a network grows with their number and with the lanes of a sweep.

More networks, or a lane more for as many more of them, should take no longer each.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from digits_jax.gradients import GRADIENTS
from experiments.benchmarks import workers
from experiments.benchmarks.growth import compilation_cache
from experiments.benchmarks.rows import Row, measured, missing
from experiments.benchmarks.timing import Unavailable, interleaved, summarise

SECTION, QUANTITY, UNIT = "networks", "time a network", "s"


class Settings(NamedTuple):
    """Sweeps of so many networks, each trained for `epochs` and scored, `rounds` times."""

    networks: Sequence[int]
    epochs: int
    rounds: int


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


def rows(settings: Settings, platform: str, progress: Callable[[str], Any]) -> Iterator[Row]:
    """Time a network in sweeps of every number of networks and lanes, with each gradient.

    Args:
        settings: how much is measured.
        platform: what JAX computes on, as in cpu.
        progress: is told what is being done.
    """
    with contextlib.ExitStack() as stack:
        # A sweep compiles at each call: with a cache, the same program once.
        cache = stack.enter_context(compilation_cache())
        ready = {}
        for lane, environment in lanes(platform).items():
            worker = stack.enter_context(workers.started(cache | environment))
            for networks in settings.networks:
                # A lane without a network of its own would repeat another's.
                if networks < int(environment.get("JAX_NUM_CPU_DEVICES", 1)):
                    continue
                for gradients in GRADIENTS:
                    name, key = f"{gradients}, {lane}", f"{gradients} {networks}"
                    progress(f"{networks} networks: {name}")
                    fields = {"gradients": gradients, "epochs": settings.epochs}
                    try:
                        workers.prepare(
                            worker,
                            key,
                            workers.competitor("networks"),
                            networks=networks,
                            **fields,
                        )
                        workers.call(worker, key, "seconds")
                    except Unavailable as reason:
                        yield missing(SECTION, name, networks, QUANTITY, UNIT, str(reason))
                        continue
                    ready[name, networks] = partial(workers.call, worker, key, "seconds")
        progress("sweeps in turn")
        results, failures = interleaved(ready, settings.rounds)
        for (name, networks), failure in failures.items():
            yield missing(SECTION, name, networks, QUANTITY, UNIT, str(failure))
        for (name, networks), times in results.items():
            each = summarise([seconds / networks for seconds in times])
            yield measured(SECTION, name, networks, QUANTITY, UNIT, each)
