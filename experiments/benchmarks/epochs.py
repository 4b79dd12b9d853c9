"""Section 1: an epoch of the classic training, by this project and by its peers.

Every competitor first shows what test accuracy it reaches, which also warms it up; then all are
timed in turn, and with them the matrix products that section 2 compares with.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from experiments.benchmarks import workers
from experiments.benchmarks.rows import Row, measured, missing
from experiments.benchmarks.workers import Worker, thread_settings
from experiments.cli import processor
from experiments.cli.timing import Timing, Unavailable, interleaved, summarise

SECTION, FORMS_SECTION, FLOOR_SECTION = "epochs", "forms", "floor"
# What scikit-learn trains, with its learning rate; measured where it is among the peers.
CROSS_ENTROPY = "autodiff, cross-entropy"
OURS: dict[str, dict[str, Any]] = {
    "autodiff": {},
    "manual": {"gradients": "manual"},
    CROSS_ENTROPY: {"loss": "cross_entropy", "learning_rate": 0.3},
}
SEARCH_ROUNDS, SEARCH_SECONDS, PRODUCT_SECONDS = 5, 0.02, 0.05
ONE_CORE = "one core"


class Peer(NamedTuple):
    """A module of `experiments.peers`, the library that it takes, and its forms by name.

    `environment`: a variable that its processes have besides the number of threads, and its value.
    """

    module: str
    library: str
    forms: dict[str, dict[str, Any]]
    environment: tuple[tuple[str, str], ...] = ()


NUMPY_FORMS = {
    f"weights [{layout}], {rows} rows": {"layout": layout, "rows": rows}
    for layout in ("out, in", "in, out")
    for rows in ("uint8", "float32")
}


# Which form is fastest varies with the machine and the batch: all are tried, the best is measured.
PEERS = {
    "NumPy": Peer("numpy_training", "numpy", NUMPY_FORMS),
    # On a processor that it does not know, OpenBLAS takes kernels without AVX-512, half as fast.
    "NumPy (SkylakeX)": Peer(
        "numpy_training", "numpy", NUMPY_FORMS, (("OPENBLAS_CORETYPE", "SkylakeX"),)
    ),
    "PyTorch eager": Peer(
        "torch_training",
        "torch",
        {
            f"{update}, {rows} rows": {"update": update, "rows": rows}
            for update in ("_foreach_add_", "torch.optim.SGD")
            for rows in ("uint8", "float32")
        },
    ),
    "torch.compile": Peer(
        "torch_training",
        "torch",
        {
            f"{name}{rows} rows": {"update": "compiled", "rows": rows, "options": options}
            for name, options in {"": None, "cpp_wrapper, ": {"cpp_wrapper": True}}.items()
            for rows in ("uint8", "float32")
        },
    ),
    "scikit-learn": Peer("sklearn_training", "sklearn", {"float32 rows": {}}),
}


class Settings(NamedTuple):
    """How much is measured: `rounds` turns of `seconds` each; accuracy after `epochs`, by seed.

    `peers`: keys of `PEERS`. `search`: whether every form of a peer is tried, with one thread and
    with all cores; otherwise it is the first, with one thread.
    """

    batch_sizes: Sequence[int]
    peers: Sequence[str]
    rounds: int
    seconds: float
    seeds: int
    epochs: int
    search: bool


class Competitor(NamedTuple):
    """What takes part: where it was prepared, under which key, and in which form."""

    worker: Worker
    key: str
    form: str


class Host(NamedTuple):
    """A worker for peers of one library, with so many threads and an environment of its own."""

    library: str
    threads: int
    environment: tuple[tuple[str, str], ...]

    @property
    def described(self) -> str:
        """As in: numpy, 1 thread, OPENBLAS_CORETYPE=SkylakeX."""
        settings = [f"{name}={value}" for name, value in self.environment]
        return ", ".join([self.library, described_threads(self.threads), *settings])


def described_threads(count: int) -> str:
    """As in: 1 thread, 2 threads."""
    return f"{count} thread{'s' if count > 1 else ''}"


def hosts(peer: Peer, search: bool) -> list[Host]:
    """Where a peer may run: with one thread, and with one for each core."""
    counts = sorted({1, os.cpu_count() or 1}) if search else [1]
    return [Host(peer.library, threads, peer.environment) for threads in counts]


class Processes(NamedTuple):
    """The workers of this section: ours, those of peers, and what multiplies matrices."""

    ours: Worker
    peers: dict[Host, Worker]
    products: dict[str, "Product"]


class Product(NamedTuple):
    """A worker that multiplies matrices, in so many operations; `note` tells if on one core."""

    worker: Worker
    operations: int
    note: str


def runnable(names: Sequence[str]) -> list[str]:
    """Those of the peers that this processor can run, as far as the system tells what it knows."""
    avx512 = "avx512f" in processor.instructions()
    return [name for name in PEERS if name in names and (avx512 or not PEERS[name].environment)]


def rows(settings: Settings, platform: str, progress: Callable[[str], Any]) -> Iterator[Row]:
    """The rows of sections `epochs`, `forms` and `floor`, one batch size after the other.

    Args:
        settings: how much is measured.
        platform: what JAX computes on, as in cpu.
        progress: is told what is being done.
    """
    peers = {name: PEERS[name] for name in settings.peers}
    with contextlib.ExitStack() as stack:
        processes = Processes(stack.enter_context(workers.started()), {}, {})
        _add_product(processes, "jax", "jax", processes.ours, "")
        if platform == "cpu":
            worker = stack.enter_context(workers.started(one_core=True))
            _add_product(processes, "jax, 1 core", "jax", worker, ONE_CORE)
        for host in dict.fromkeys(h for p in peers.values() for h in hosts(p, settings.search)):
            environment = thread_settings(host.threads) | dict(host.environment)
            worker = processes.peers[host] = stack.enter_context(workers.started(environment))
            note = ONE_CORE if host.threads == 1 else ""
            _add_product(processes, host.described, host.library, worker, note)
        for batch_size in settings.batch_sizes:
            yield from _batch(settings, batch_size, peers, processes, progress)


def _add_product(processes: Processes, name: str, library: str, worker: Worker, note: str) -> None:
    with contextlib.suppress(Unavailable):
        workers.prepare(worker, "product", workers.competitor("products"), library=library)
        operations = workers.call(worker, "product", "operations")
        processes.products[name] = Product(worker, operations, note)


def _batch(
    settings: Settings,
    batch_size: int,
    peers: dict[str, Peer],
    processes: Processes,
    progress: Callable[[str], Any],
) -> Iterator[Row]:
    ready: dict[str, Competitor] = {}
    names = [name for name in OURS if name != CROSS_ENTROPY or "scikit-learn" in peers]
    for name in [*names, *peers]:
        progress(f"batch {batch_size}: {name}")
        key = (SECTION, name, batch_size)
        try:
            if name in OURS:
                competitor = _prepare_ours(name, batch_size, processes.ours)
            else:
                competitor, tried = _prepare_peer(
                    name, peers[name], batch_size, processes, settings
                )
                yield from tried
            accuracies = workers.call(
                competitor.worker,
                competitor.key,
                "score",
                seeds=list(range(settings.seeds)),
                epochs=settings.epochs,
            )
        except Unavailable as reason:
            yield missing(*key, "epoch", "s", str(reason))
            continue
        ready[name] = competitor
        told = str(settings.epochs)
        yield measured(*key, "test accuracy", "", summarise(accuracies), told)

    progress(f"batch {batch_size}: times in turn")
    measures = {
        (SECTION, name): partial(workers.time_turn, c.worker, c.key, "epoch", settings.seconds)
        for name, c in ready.items()
    } | {
        (FLOOR_SECTION, name): partial(
            workers.time_turn, product.worker, "product", "product", PRODUCT_SECONDS
        )
        for name, product in processes.products.items()
    }
    results, failures = interleaved(measures, settings.rounds)
    for (section, name), failure in failures.items():
        if section == SECTION:
            yield missing(section, name, batch_size, "epoch", "s", str(failure))
    for (section, name), samples in results.items():
        if section == SECTION:
            yield from _epoch_rows(name, batch_size, ready[name].form, samples)
        else:
            product = processes.products[name]
            rates = summarise([product.operations / sample.seconds for sample in samples])
            yield measured(section, name, batch_size, "sgemm", "FLOP/s", rates, product.note)


def _epoch_rows(name: str, batch_size: int, form: str, samples: Sequence[Timing]) -> Iterator[Row]:
    seconds = summarise([sample.seconds for sample in samples])
    yield measured(SECTION, name, batch_size, "epoch", "s", seconds, form)
    cores = summarise([sample.cpu_seconds / sample.seconds for sample in samples])
    yield measured(SECTION, name, batch_size, "cores", "", cores)


def _prepare_ours(name: str, batch_size: int, worker: Worker) -> Competitor:
    workers.prepare(
        worker, name, workers.competitor("project"), batch_size=batch_size, **OURS[name]
    )
    return Competitor(worker, name, "")


def _prepare_peer(
    name: str, peer: Peer, batch_size: int, processes: Processes, settings: Settings
) -> tuple[Competitor, list[Row]]:
    """A peer in its fastest form, and how fast the forms were in a part of an epoch."""
    candidates: dict[str, Competitor] = {}
    reasons = []
    for host in hosts(peer, settings.search):
        worker = processes.peers[host]
        forms = list(peer.forms.items())
        for label, form in forms if settings.search else forms[:1]:
            key = f"{name}: {label}"
            arguments = {"peer": peer.module, "batch_size": batch_size, "form": form}
            try:
                workers.prepare(worker, key, workers.competitor("peer"), **arguments)
                workers.call(worker, key, "trial")  # compiles, where there is something to
            except Unavailable as reason:
                reasons.append(str(reason))
                continue
            described = f"{label}, {described_threads(host.threads)}"
            candidates[described] = Competitor(worker, key, described)
    if not candidates:
        raise Unavailable(reasons[0])
    if len(candidates) == 1:
        return next(iter(candidates.values())), []
    trials, failures = interleaved(
        {
            form: partial(workers.time_turn, c.worker, c.key, "trial", SEARCH_SECONDS)
            for form, c in candidates.items()
        },
        SEARCH_ROUNDS,
    )
    if not trials:
        raise next(iter(failures.values()))
    found = {
        form: summarise([sample.seconds for sample in samples]) for form, samples in trials.items()
    }
    best = min(found, key=lambda form: found[form].median)
    return candidates[best], [
        measured(FORMS_SECTION, name, batch_size, form, "s", summary)
        for form, summary in found.items()
    ]
