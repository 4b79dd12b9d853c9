"""Measures this project against what people would use instead, and against the machine.

One epoch of the classic training beside NumPy, PyTorch and scikit-learn; the time of its matrix
products alone; the default run as a whole process; growth with images and with networks. Prints the
answer, and writes its tables: benchmark.md, benchmark.csv, benchmark.png. Without flags it takes
ten minutes, with --quick two.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments import STARTED
from experiments.benchmarks import answer, epochs, figures, growth, processes, report, workers
from experiments.benchmarks.measurements import Effort, Measurement, to_csv
from experiments.benchmarks.networks import CLASSIC, Network
from experiments.cli import flags, records
from experiments.cli.timing import Unavailable
from experiments.peers.classic import TRAIN_SIZE

# Above this load a second core is not there for those that use it.
BUSY = 0.5
FILES = ("benchmark.md", "benchmark.csv", "benchmark.png")
PACKAGES = ("jax", "jaxlib", "numpy", "torch", "scikit-learn")
LISTS = {
    "batch_sizes": (["1", "10", "32", "128", "1000"], "images in a batch"),
    "growth_batch_sizes": (["10", "128"], "images in a batch where growth is measured"),
    "train_sizes": (["1000", "10000", "60000", "1000000"], "training images"),
    "networks": (["1", "4", "16", "64"], "networks in a sweep"),
}
# What --quick gives to flags that are not given.
QUICK = {
    "batch_sizes": ["10", "128"],
    "growth_batch_sizes": ["128"],
    "train_sizes": ["1000", "10000"],
    "networks": ["2", "4"],
    "rounds": 2,
}
SECTIONS = ("epochs", "processes", "growth", "sweeps")


def sections(
    network: Network, platform: str, progress: Callable[[str], Any]
) -> dict[str, Iterator[Measurement]]:
    """Every section by name, in the order in which they are measured."""
    e = effort()
    batch_sizes, growth_batch_sizes, train_sizes, networks = map(numbers, LISTS)
    all_forms = flags.FLAGS.all_forms
    return {
        "epochs": epochs.measure(network, batch_sizes, e, all_forms, platform, progress),
        "processes": processes.measure(network, e, progress),
        "growth": growth.images(growth_batch_sizes, train_sizes, e, progress),
        "sweeps": growth.sweeps(networks, e, platform, progress),
    }


def define_flags() -> None:
    """Defines the flags of this script."""
    group: dict[str, Any] = {"module_name": "benchmark"}
    absl_flags.DEFINE_bool("quick", False, "fewer and smaller: two minutes", **group)
    about = "what to measure: one epoch and its floor, whole processes, growth, sweeps"
    absl_flags.DEFINE_list("sections", list(SECTIONS), about, **group)
    about = "what to compare one epoch and whole processes with"
    absl_flags.DEFINE_list("peers", list(CLASSIC.peers), about, **group)
    about = "time every form of a peer, on one thread and on all cores; the fastest counts"
    absl_flags.DEFINE_bool("all_forms", False, about, **group)
    absl_flags.DEFINE_integer("rounds", 5, "turns of each competitor", 1, **group)
    for name, (default, about) in LISTS.items():
        absl_flags.DEFINE_list(name, default, about, **group)
    records.define()
    flags.define_workdir()


def numbers(name: str) -> tuple[int, ...]:
    """A list of whole numbers of at least 1.

    Raises:
        ValueError: in one line, where one is none, or a batch is larger than the training set.
    """
    values = tuple(dict.fromkeys(flags.whole_numbers(name)))
    for value in values:
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
        if name.endswith("batch_sizes") and value > TRAIN_SIZE:
            raise ValueError(f"{name}={value}: must be at most {TRAIN_SIZE}, an epoch's images")
    return values


def check() -> None:
    """Checks all flags before anything runs.

    Raises:
        ValueError: as `numbers`; and where a name is not known.
    """
    values = flags.FLAGS
    for name in LISTS:
        numbers(name)
    for flag, given, known in (
        ("sections", values.sections or [""], SECTIONS),
        ("peers", values.peers, CLASSIC.peers),
    ):
        for name in given:
            if name not in known:
                raise ValueError(f"{flag}={','.join(given)}: choose among {', '.join(known)}")


def effort() -> Effort:
    """How much is measured."""
    rounds, quick = flags.FLAGS.rounds, flags.FLAGS.quick
    return Effort(
        rounds=rounds,
        turn_seconds=0.05 if quick else 0.2,
        seeds=1 if quick else 3,
        score_epochs=2 if quick else 5,
        starts=1 if quick else rounds,
        process_epochs=2 if quick else 30,
        sweep_epochs=1 if quick else 3,
    )


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    with flags.user_errors(ValueError, OSError):
        drawing.require()
        check()
        directory = flags.workdir("benchmark")
        directories.check(directory, values.overwrite)
        directories.clear(directory, values.overwrite, FILES)
    load = os.getloadavg()[0]
    network = CLASSIC.with_peers(values.peers)
    found: list[Measurement] = []
    with flags.user_errors(Unavailable):
        with workers.started() as worker:
            device = workers.prepare(worker, ".project.device")
            platform, kind = device.call("platform"), device.call("kind")
        with tqdm(unit="row", disable=None) as bar:
            for name, rows in sections(network, platform, bar.set_postfix_str).items():
                for row in rows if name in values.sections else ():
                    found.append(row)
                    bar.update()

    seconds = time.perf_counter() - STARTED
    where = records.provenance(flags.command("benchmark"), seconds, kind, PACKAGES)
    where += f" Load average at the start {load:.2f}."
    text = partial(report.markdown, network, found, where)
    picture = drawing.png(figures.draw(network, found))
    contents = (text(FILES[2]).encode(), to_csv(found).encode(), picture)
    with flags.user_errors(OSError):
        for file, content in zip(FILES, contents, strict=True):
            write_atomically(directory / file, content)
        written = [f"{directory}: {', '.join(FILES)}"]
        if values.record:
            record = text("benchmark-times.png")
            written += map(str, records.write("benchmark", record, {"times": picture}))
    for line in answer.lines(network, found):
        print(line)
    if load > BUSY:
        print(f"The machine was busy (load average {load:.2f}): believe no time of these.")
    print(f"tables  {'; '.join(map(str, written))}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
