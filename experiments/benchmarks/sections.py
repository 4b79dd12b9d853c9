"""What is measured: trainings beside their peers, whole processes, growth."""

import contextlib
import itertools
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.benchmarks import workers
from experiments.benchmarks.measurements import (
    ACCURACY,
    EPOCH,
    MEMORY,
    TIME,
    TIME_A_NETWORK,
    TIME_AN_IMAGE,
    Measurement,
    Turn,
    take_turns,
)
from experiments.benchmarks.trainings import AUTODIFF, Trainings
from experiments.benchmarks.workers import Pool, Worker
from experiments.peers.classic import BATCH_SIZE

HERE = "experiments.benchmarks.competitors"
PROCESS, IMAGES, NETWORKS, RECIPES = "process", "training images", "networks", "recipes"
COLD, WARM = "cold", "warm"
# What summary.json tells of a run, in seconds.
PHASES = ("import", "data", "compile", "train", "evaluate", "write", "total")
COMMANDS = {
    AUTODIFF: [],
    "manual": ["--gradients=manual"],
    "autodiff, no validation images": ["--validation_size=0"],
}
SCRIPTS = ("NumPy", "NumPy (SkylakeX)", "PyTorch eager")  # peers with a script of their own
SHOWN_IMAGES = 200_000  # in a turn of growth, at least
SWEEP_EPOCHS = 3
WAYS = (AUTODIFF, "manual")  # to a gradient


def trainings(
    of: Trainings, batch_sizes: Sequence[int], rounds: int, all_forms: bool
) -> Iterator[Measurement]:
    """Time and accuracy of an epoch, and the rate of products in the same turns, by batch size.

    Where all forms of a peer are timed, the fastest counts.
    """
    with workers.started() as pool:
        for size in batch_sizes:
            products: dict[str, tuple[str, Worker]] = {"jax": ("jax", pool("jax"))}
            competitors: dict[tuple[str, Any], Any] = {
                (name, size): partial(_turn, of, pool("jax"), "ours", batch_size=size, **fields)
                for name, fields in of.ours.items()
            }
            for name, peer in of.peers.items():
                for c in peer.contestants(size, all_forms):
                    worker = pool(c.library, **c.environment)
                    key = f"{name}: {c.label}" if all_forms else name
                    competitors[key, size] = partial(_turn, of, worker, "peer", **c.arguments)
                    products[f"{c.library} of {name}"] = c.library, worker
            for key, (library, worker) in products.items():
                if library in ("jax", "numpy", "torch"):
                    competitors[key, size] = partial(_product, worker, library)
            found = list(take_turns(of.section, EPOCH, competitors, rounds))
            yield from (m for m in found if m.name not in products or m.median)
            for name in of.peers if all_forms else ():
                yield from _fastest(name, found)


def _turn(of: Trainings, worker: Worker, function: str, **arguments: Any) -> Turn:
    turn = partial(worker.prepare(f"{HERE}.{function}", **arguments), "turn", epochs=of.epochs)
    turn()
    return turn


def _product(worker: Worker, library: str) -> Turn:
    return partial(worker.prepare(f"{HERE}.product", library=library), "turn")


def _fastest(name: str, found: Sequence[Measurement]) -> Iterator[Measurement]:
    """The measurements of a peer's fastest form, under its own name."""
    forms = [m for m in found if m.name.startswith(f"{name}: ") and m.quantity == EPOCH]
    best = min(forms, key=lambda m: m.median or float("inf")).name
    return (m._replace(name=name) for m in found if m.name == best)


def processes(of: Trainings, rounds: int) -> Iterator[Measurement]:
    """Time, memory, accuracy of the default run, and where the time of ours goes."""
    with _launcher() as (run, folder):
        competitors: dict[tuple[str, Any], Any] = {
            (name, cache): partial(_our_process, run, folder, of_ours, cache == WARM)
            for name, of_ours in COMMANDS.items()
            for cache in (COLD, WARM)
        }
        for name in SCRIPTS:
            for c in of.peers[name].contestants(BATCH_SIZE) if name in of.peers else ():
                command = [sys.executable, "-m", f"experiments.peers.{c.arguments['module']}"]
                turn = partial(_process, run, command, c.environment)
                competitors[name, c.label.split("; ")[-1]] = lambda turn=turn: turn
        yield from take_turns(PROCESS, TIME, competitors, rounds)


def recipes(
    rounds: int, where: Path = workers.ROOT / "experiments/recipes"
) -> Iterator[Measurement]:
    """The same of every recipe in a folder, with an empty compilation cache."""
    with _launcher() as (run, folder):
        competitors: dict[tuple[str, Any], Any] = {
            (path.stem, COLD): partial(_our_process, run, folder, [f"--flagfile={path}"], False)
            for path in sorted(where.glob("*.flags"))
        }
        yield from take_turns(RECIPES, TIME, competitors, rounds)


@contextlib.contextmanager
def _launcher() -> Iterator[tuple[Any, Path]]:
    """What runs a command in a process of its own, and a folder for what the process writes."""
    with workers.started() as pool, tempfile.TemporaryDirectory() as folder:
        yield partial(pool("launcher").prepare(f"{HERE}.launcher"), "run"), Path(folder)


def _our_process(run: Any, folder: Path, of_ours: Sequence[str], warm: bool) -> Turn:
    """What starts a run with an empty compilation cache, or with one that an earlier one filled."""
    filled = tempfile.mkdtemp(dir=folder)

    def turn() -> dict[str, float]:
        workdir = tempfile.mkdtemp(dir=folder)
        cache = filled if warm else tempfile.mkdtemp(dir=folder)
        command = [sys.executable, "-m", "experiments.train", *of_ours]
        environment = {"JAX_COMPILATION_CACHE_DIR": cache}
        found = _process(run, [*command, f"--workdir={workdir}"], environment)
        summary = json.loads((Path(workdir) / "summary.json").read_text())
        phases = {name: summary.get(f"{name}_seconds", 0.0) for name in PHASES}
        return found | phases

    if warm:
        turn()
    return turn


def _process(run: Any, command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """A process from its start to its end."""
    result = run(command=command, environment=environment)
    printed = re.search(r"test accuracy\s+([\d.]+)%", result["output"])
    if printed is None:
        raise ValueError(f"no test accuracy in: {result['output']}")
    accuracy = float(printed[1]) / 100
    return {TIME: result["seconds"], MEMORY: float(result["memory"]), ACCURACY: accuracy}


def images(
    batch_sizes: Sequence[int], train_sizes: Sequence[int], rounds: int
) -> Iterator[Measurement]:
    """Time an image with each gradient; no batch is larger than its training set."""

    def prepare(worker: Worker, **fields: Any) -> Turn:
        call = worker.prepare(f"{HERE}.ours", **fields)
        count = fields["train_size"] // fields["batch_size"] * fields["batch_size"]
        epochs = 2 + SHOWN_IMAGES // count
        return lambda: {TIME_AN_IMAGE: call("turn", epochs=epochs)[EPOCH] / count}

    with workers.started() as pool:
        competitors = {
            (f"{gradients}, batch {batch_size}", train_size): partial(
                prepare,
                pool("jax"),
                train_size=train_size,
                batch_size=batch_size,
                gradients=gradients,
            )
            for train_size in train_sizes
            for batch_size in batch_sizes
            if batch_size <= train_size
            for gradients in WAYS
        }
        yield from take_turns(IMAGES, TIME_AN_IMAGE, competitors, rounds)


def sweeps(networks: Sequence[int], rounds: int, platform: str) -> Iterator[Measurement]:
    """Time a network in sweeps of so many, over one lane and over all, with each gradient."""

    def prepare(pool: Pool, environment: dict[str, str], count: int, gradients: str) -> Turn:
        fields = {"networks": count, "gradients": gradients, "epochs": SWEEP_EPOCHS}
        call = pool("jax", **environment).prepare(f"{HERE}.sweep", **fields)
        call("seconds")
        return lambda: {TIME_A_NETWORK: call("seconds") / count}

    with workers.started() as pool:
        competitors = {
            (f"{gradients}, {lane}", count): partial(prepare, pool, environment, count, gradients)
            for (lane, environment), count, gradients in itertools.product(
                lanes(platform).items(), networks, WAYS
            )
            # A lane without a network of its own would repeat another's.
            if count >= int(environment.get("JAX_NUM_CPU_DEVICES", 1))
        }
        yield from take_turns(NETWORKS, TIME_A_NETWORK, competitors, rounds)


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
