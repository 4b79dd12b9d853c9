"""Section 3: the default run as a whole process, from the shell to the printed test accuracy."""

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks import epochs, workers
from experiments.benchmarks.rows import Row, measured, missing
from experiments.benchmarks.workers import Worker, thread_settings
from experiments.cli.timing import interleaved, summarise

SECTION = "process"
COLD, WARM = "cold", "warm"
DEFAULT_EPOCHS = 30
# What summary.json tells of a run, beside its total_seconds.
PHASES = ("import", "data", "compile", "train", "evaluate", "write")
OURS = {"autodiff": [], "manual": ["--gradients=manual"]}
VARIANT = {"autodiff, no validation images": ["--validation_size=0"]}
# Those with a script of their own.
PEERS = {name: epochs.PEERS[name] for name in ("NumPy", "NumPy (SkylakeX)", "PyTorch eager")}


class Settings(NamedTuple):
    """How often each process is started, and how many epochs it trains; `peers`: keys of `PEERS`.

    `warm_up`: whether each is started once before that. `variants`: whether peers run with all
    cores, too, and this project without validation images.
    """

    peers: Sequence[str]
    rounds: int
    epochs: int
    warm_up: bool
    variants: bool


class Process(NamedTuple):
    """A command line and its environment.

    `cache`: its compilation cache, `COLD`, `WARM` or none. `setting`: what rows say of it.
    """

    name: str
    cache: str
    setting: str
    command: list[str]
    environment: dict[str, str]


def rows(settings: Settings, progress: Callable[[str], Any]) -> Iterator[Row]:
    """Time, memory, accuracy of every process, and where the time of ours goes.

    Args:
        settings: how much is measured.
        progress: is told what is being done.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        launcher = stack.enter_context(workers.started())
        workers.prepare(launcher, SECTION, workers.competitor("commands"))
        processes = {(process.name, process.setting): process for process in _processes(settings)}
        runs = {key: partial(_run, process, launcher, folder) for key, process in processes.items()}
        # Files that were never read come from the disk; and a cache has to be filled.
        first = {
            key: run
            for key, run in runs.items()
            if settings.warm_up or processes[key].cache == WARM
        }
        progress("whole processes, a first time")
        _, failures = interleaved(first, 1)
        progress("whole processes in turn")
        results, more = interleaved(
            {key: run for key, run in runs.items() if key not in failures}, settings.rounds
        )
        for (name, setting), found in results.items():
            yield from _rows_of(name, setting, found)
        for (name, setting), failure in (failures | more).items():
            yield missing(SECTION, name, setting, "time", "s", str(failure))


def _processes(settings: Settings) -> Iterator[Process]:
    python, count = [sys.executable, "-m"], settings.epochs
    # Goals are about the default run alone, whose rows say no number of epochs.
    length = [] if count == DEFAULT_EPOCHS else [f"{count} epochs"]
    for name, flags in (OURS | (VARIANT if settings.variants else {})).items():
        command = [*python, "experiments.train", f"--epochs={count}", *flags]
        for cache in (COLD, WARM):
            yield Process(name, cache, ", ".join([cache, *length]), command, {})
    for name in settings.peers:
        peer = PEERS[name]
        command = [*python, f"experiments.peers.{peer.module}", str(count)]
        for host in epochs.hosts(peer, settings.variants):
            described = f"{name}, {epochs.described_threads(host.threads)}"
            environment = thread_settings(host.threads) | dict(peer.environment)
            yield Process(described, "", ", ".join(length), command, environment)


def _run(process: Process, launcher: Worker, folder: Path) -> dict[str, Any]:
    command, environment = process.command, dict(process.environment)
    if process.cache:
        workdir = tempfile.mkdtemp(dir=folder)
        cache = folder / f"cache of {process.name}"
        command = [*command, f"--workdir={workdir}"]
        environment["JAX_COMPILATION_CACHE_DIR"] = (
            tempfile.mkdtemp(dir=folder) if process.cache == COLD else str(cache)
        )
    result: dict[str, Any] = workers.call(
        launcher, SECTION, "run", command=command, environment=environment
    )
    if process.cache:
        result["summary"] = json.loads((Path(workdir) / "summary.json").read_text())
    return result


def _rows_of(name: str, setting: str, results: Sequence[dict[str, Any]]) -> Iterator[Row]:
    key = (SECTION, name, setting)
    yield measured(*key, "time", "s", summarise([result["seconds"] for result in results]))
    yield measured(*key, "memory", "B", summarise([result["memory"] for result in results]))
    accuracies = [_accuracy(result["output"]) for result in results]
    yield measured(*key, "test accuracy", "", summarise(accuracies))
    if "summary" not in results[0]:
        return
    for phase in (*PHASES, "total"):
        field = f"{phase}_seconds"
        if field in results[0]["summary"]:
            seconds = [result["summary"][field] for result in results]
            yield measured(*key, phase, "s", summarise(seconds))
        else:
            yield missing(*key, phase, "s", "not recorded")


def _accuracy(output: str) -> float:
    found = re.search(r"test accuracy\s+([\d.]+)%", output)
    if found is None:
        raise ValueError(f"no test accuracy in: {output}")
    return float(found[1]) / 100
