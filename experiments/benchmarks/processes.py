"""Section 3: the default run as a whole process, from the shell to the printed test accuracy."""

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks import workers
from experiments.benchmarks.measurements import Effort, Measurement, measurement
from experiments.benchmarks.networks import Network, threads
from experiments.benchmarks.workers import Prepared
from experiments.cli.timing import interleaved, summarise
from experiments.peers.classic import BATCH_SIZE

SECTION = "process"
TIME, MEMORY, ACCURACY = "time", "memory", "test accuracy"
COLD, WARM = "cold", "warm"
# What summary.json tells of a run, in seconds.
PHASES = ("import", "data", "compile", "train", "evaluate", "write", "total")
UNITS = {TIME: "s", MEMORY: "B", ACCURACY: ""} | dict.fromkeys(PHASES, "s")
OURS = {
    "autodiff": [],
    "manual": ["--gradients=manual"],
    "autodiff, no validation images": ["--validation_size=0"],
}
# Those with a script of their own, which trains in the form that is fastest at its batch size.
SCRIPTS = ("NumPy", "NumPy (SkylakeX)", "PyTorch eager")


class Process(NamedTuple):
    """A command line and its environment; `setting` of ours: its compilation cache."""

    name: str
    setting: str
    command: list[str]
    environment: dict[str, str]


def measure(
    network: Network, effort: Effort, progress: Callable[[str], Any]
) -> Iterator[Measurement]:
    """Time, memory, accuracy of every process, and where the time of ours goes.

    Args:
        network: whose peers are started.
        effort: how much is measured.
        progress: is told what is being done.
    """
    python, epochs = [sys.executable, "-m"], str(effort.process_epochs)
    processes = [
        Process(name, cache, [*python, "experiments.train", f"--epochs={epochs}", *flags], {})
        for name, flags in OURS.items()
        for cache in (COLD, WARM)
    ] + [
        Process(
            c.name,
            threads(c.host.threads or 1),
            [*python, f"experiments.peers.{c.arguments['peer']}", epochs],
            c.host.environment,
        )
        for c in network.contestants(BATCH_SIZE, all_forms=False)
        if c.name in SCRIPTS
    ]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        launcher = workers.prepare(stack.enter_context(workers.started()), ".commands.launcher")
        runs = {(p.name, p.setting): partial(_run, p, launcher, folder) for p in processes}
        # Files that were never read come from the disk; and a cache has to be filled.
        first = {key: run for key, run in runs.items() if effort.starts > 1 or key[1] == WARM}
        progress("whole processes, a first time")
        _, failures = interleaved(first, 1)
        progress("whole processes in turn")
        going = {key: run for key, run in runs.items() if key not in failures}
        results, more = interleaved(going, effort.starts)
    for (name, setting), found in results.items():
        for quantity in found[0]:
            summary = summarise([result[quantity] for result in found])
            unit = UNITS[quantity]
            yield measurement(SECTION, name, setting, quantity, unit, summary, f"{epochs} epochs")
    for (name, setting), failure in (failures | more).items():
        yield measurement(SECTION, name, setting, TIME, "s", failure)


def _run(process: Process, launcher: Prepared, folder: Path) -> dict[str, float]:
    """A process from its start to its end."""
    command, environment = process.command, process.environment
    ours = process.name in OURS
    if ours:
        workdir = tempfile.mkdtemp(dir=folder)
        warm = folder / f"cache of {process.name}"
        cache = warm if process.setting == WARM else tempfile.mkdtemp(dir=folder)
        command = [*command, f"--workdir={workdir}"]
        environment = environment | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    result = launcher.call("run", command=command, environment=environment)
    printed = re.search(r"test accuracy\s+([\d.]+)%", result["output"])
    if printed is None:
        raise ValueError(f"no test accuracy in: {result['output']}")
    found = {TIME: result["seconds"], MEMORY: result["memory"], ACCURACY: float(printed[1]) / 100}
    if ours:
        summary = json.loads((Path(workdir) / "summary.json").read_text())
        found |= {
            phase: summary[f"{phase}_seconds"] for phase in PHASES if f"{phase}_seconds" in summary
        }
    return found
