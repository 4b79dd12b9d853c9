"""Section 1: an epoch of a training, by this project and by its peers; section 2: its floor.

All are timed in turn, after an epoch to warm up, and with them the large matrix products whose rate
makes the floor; then each shows what test accuracy it reaches.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from experiments.benchmarks import workers
from experiments.benchmarks.measurements import Effort, Measurement, measurement
from experiments.benchmarks.networks import JAX, JAX_ONE_CORE, Contestant, Host, Network
from experiments.benchmarks.workers import Prepared, Worker
from experiments.cli.timing import Timing, Unavailable, interleaved, summarise

PRODUCT_SECONDS = 0.05
EPOCH, RATE, ACCURACY, CORES, TRIED = "epoch", "sgemm", "test accuracy", "cores", "tried"
ONE_CORE = "one core"


def measure(
    network: Network,
    batch_sizes: Sequence[int],
    effort: Effort,
    all_forms: bool,
    platform: str,
    progress: Callable[[str], Any],
) -> Iterator[Measurement]:
    """Time, accuracy and busy cores of an epoch, and the rate of products, by batch size.

    Args:
        network: what is trained, and by whom.
        batch_sizes: images in a batch.
        effort: how much is measured.
        all_forms: whether every form of a peer is timed: the fastest counts.
        platform: what JAX computes on, as in cpu.
        progress: is told what is being done.
    """
    all_contestants = {size: network.contestants(size, all_forms) for size in batch_sizes}
    hosts = [JAX, JAX_ONE_CORE] if platform == "cpu" else [JAX]
    hosts += [c.host for contestants in all_contestants.values() for c in contestants]
    with contextlib.ExitStack() as stack:
        started = {
            host: stack.enter_context(workers.started(host.environment, host.one_core))
            for host in dict.fromkeys(hosts)
        }
        products = {}
        for host, worker in started.items():
            with contextlib.suppress(Unavailable):
                products[host] = workers.prepare(worker, ".products.product", library=host.library)
        for size, contestants in all_contestants.items():
            row = partial(measurement, network.section, setting=size)
            told = partial(lambda size, name: progress(f"batch {size}: {name}"), size)
            yield from _batch(row, contestants, started, products, effort, told)


def _batch(
    row: Callable[..., Measurement],
    contestants: Sequence[Contestant],
    started: Mapping[Host, Worker],
    products: Mapping[Host, Prepared],
    effort: Effort,
    progress: Callable[[str], Any],
) -> Iterator[Measurement]:
    """All at one batch size."""
    ready: dict[tuple[str, str], Prepared] = {}
    reasons: dict[tuple[str, str], Unavailable] = {}
    for c in contestants:
        progress(f"{c.name} {c.form}")
        try:
            prepared = workers.prepare(started[c.host], c.function, **c.arguments)
            prepared.call("epoch")
        except Unavailable as reason:
            reasons[c.name, c.form] = reason
        else:
            ready[c.name, c.form] = prepared

    progress("times in turn")
    measures: dict[Any, Callable[[], Timing]] = {
        key: partial(prepared.measure, "epoch", effort.turn_seconds)
        for key, prepared in ready.items()
    } | {
        host: partial(product.measure, "product", PRODUCT_SECONDS)
        for host, product in products.items()
    }
    results, failures = interleaved(measures, effort.rounds)
    reasons |= failures

    for name in dict.fromkeys(c.name for c in contestants):
        tried = {
            c.form: summarise([time.seconds for time in results[name, c.form]])
            for c in contestants
            if c.name == name and (name, c.form) in results
        }
        if not tried:
            why = next(why for (who, _), why in reasons.items() if who == name)
            yield row(name, quantity=EPOCH, unit="s", found=why)
            continue
        if len(tried) > 1:
            for form, seconds in tried.items():
                yield row(name, quantity=TRIED, unit="s", found=seconds, note=form)
        best = min(tried, key=lambda form: tried[form].median)
        cores = [time.cpu_seconds / time.seconds for time in results[name, best]]
        yield row(name, quantity=EPOCH, unit="s", found=tried[best], note=best)
        yield row(name, quantity=CORES, unit="", found=summarise(cores))
        progress(f"accuracy of {name}")
        seeds = list(range(effort.seeds))
        told = str(effort.score_epochs)
        with contextlib.suppress(Unavailable):
            scores = ready[name, best].call("score", seeds=seeds, epochs=effort.score_epochs)
            yield row(name, quantity=ACCURACY, unit="", found=summarise(scores), note=told)
    for host, product in products.items():
        if host in results:
            operations = product.call("operations")
            rates = summarise([operations / time.seconds for time in results[host]])
            note = ONE_CORE if host.one_core or host.threads == 1 else ""
            yield row(str(host), quantity=RATE, unit="FLOP/s", found=rates, note=note)
