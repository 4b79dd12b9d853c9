"""Measures this project against what people would use instead, and against the machine.

One epoch of the classic training beside NumPy, PyTorch and scikit-learn; the time of its matrix
products alone; the default run as a whole process; how time grows. Writes benchmark.md,
benchmark.csv and benchmark.png. Without flags it takes a quarter of an hour, with --quick a minute.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments import STARTED
from experiments.benchmarks import (
    epochs,
    figures,
    growth,
    networks,
    processes,
    report,
    workers,
)
from experiments.benchmarks.rows import Row, to_csv
from experiments.cli import flags
from experiments.cli.records import provenance
from experiments.cli.timing import Unavailable
from experiments.peers.classic import TRAIN_SIZE

FILES = ("benchmark.md", "benchmark.csv", "benchmark.png")
PACKAGES = ("jax", "jaxlib", "numpy", "torch", "scikit-learn")
LISTS = {
    "batch_sizes": (["1", "10", "32", "128", "1000"], "images in a batch"),
    "growth_batch_sizes": (["10", "128"], "images in a batch where growth is measured"),
    "train_sizes": (["1000", "10000", "60000", "1000000"], "training images"),
    "widths": (["10", "30", "100", "300", "1000"], "units of one hidden layer"),
    "depths": (["1", "2", "3", "4", "5"], "numbers of hidden layers"),
    "networks": (["1", "4", "16", "64"], "networks in a sweep"),
}
# What --quick gives to flags that are not given.
QUICK = {
    "batch_sizes": ["10", "128"],
    "growth_batch_sizes": ["128"],
    "train_sizes": ["1000", "10000"],
    "widths": ["30", "100"],
    "depths": ["1", "2"],
    "networks": ["2", "4"],
    "rounds": 2,
}
Progress = Callable[[str], Any]


def define_flags() -> None:
    """Defines the flags of this script."""
    group = "benchmark"
    help = "fewer and smaller, each peer in one form: a minute"
    absl_flags.DEFINE_bool("quick", False, help, module_name=group)
    help = "what to measure: one epoch and its floor, whole processes, growth, sweeps"
    absl_flags.DEFINE_list("sections", list(SECTIONS), help, module_name=group)
    help = "what to compare one epoch and whole processes with"
    absl_flags.DEFINE_list("peers", list(epochs.PEERS), help, module_name=group)
    help = "turns of each competitor"
    absl_flags.DEFINE_integer("rounds", 5, help, 1, module_name=group)
    for name, (default, help) in LISTS.items():
        absl_flags.DEFINE_list(name, default, help, module_name=group)
    flags.define_workdir()


def epoch_rows(platform: str, progress: Progress) -> Iterator[Row]:
    """One epoch of every competitor, and the floor."""
    quick = flags.FLAGS.quick
    settings = epochs.Settings(
        batch_sizes=numbers("batch_sizes"),
        peers=epochs.runnable(flags.FLAGS.peers),
        rounds=flags.FLAGS.rounds,
        seconds=0.05 if quick else 0.2,
        seeds=1 if quick else 3,
        epochs=2 if quick else 5,
        search=not quick,
    )
    return epochs.rows(settings, platform, progress)


def process_rows(platform: str, progress: Progress) -> Iterator[Row]:
    """Whole processes."""
    quick = flags.FLAGS.quick
    settings = processes.Settings(
        peers=[n for n in epochs.runnable(flags.FLAGS.peers) if n in processes.PEERS],
        rounds=1 if quick else flags.FLAGS.rounds,
        epochs=2 if quick else processes.DEFAULT_EPOCHS,
        warm_up=not quick,
        variants=not quick,
    )
    return processes.rows(settings, progress)


def growth_rows(platform: str, progress: Progress) -> Iterator[Row]:
    """Time an image against sizes."""
    settings = growth.Settings(
        batch_sizes=numbers("growth_batch_sizes"),
        train_sizes=numbers("train_sizes"),
        widths=numbers("widths"),
        depths=numbers("depths"),
        rounds=flags.FLAGS.rounds,
        seconds=0.02 if flags.FLAGS.quick else 0.1,
    )
    return growth.rows(settings, progress)


def network_rows(platform: str, progress: Progress) -> Iterator[Row]:
    """Time a network against their number."""
    settings = networks.Settings(
        networks=numbers("networks"),
        epochs=1 if flags.FLAGS.quick else 3,
        rounds=flags.FLAGS.rounds,
    )
    return networks.rows(settings, platform, progress)


# Every section by name, in the order in which they are measured.
SECTIONS: dict[str, Callable[[str, Progress], Iterator[Row]]] = {
    "epochs": epoch_rows,
    "processes": process_rows,
    "growth": growth_rows,
    "sweeps": network_rows,
}


def numbers(name: str) -> tuple[int, ...]:
    """A list of whole numbers of at least 1.

    Raises:
        ValueError: in one line, where one is none.
    """
    values = tuple(dict.fromkeys(flags.whole_numbers(name)))
    for value in values:
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
    return values


def check_numbers() -> None:
    """Checks all lists of numbers before anything runs.

    Raises:
        ValueError: as `numbers`; and where a batch is larger than the training set.
    """
    for name in LISTS:
        numbers(name)
    for name in ("batch_sizes", "growth_batch_sizes"):
        for size in numbers(name):
            if size > TRAIN_SIZE:
                raise ValueError(f"{name}={size}: must be at most {TRAIN_SIZE}, an epoch's images")


def check_names() -> None:
    """Checks the lists of names.

    Raises:
        ValueError: in one line, where one is not known.
    """
    values = flags.FLAGS
    for flag, given, known in (
        ("sections", values.sections or [""], list(SECTIONS)),
        ("peers", values.peers, list(epochs.PEERS)),
    ):
        for name in given:
            if name not in known:
                raise ValueError(f"{flag}={','.join(given)}: choose among {', '.join(known)}")


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    with flags.user_errors(ValueError, OSError):
        drawing.require()
        check_names()
        check_numbers()
        directory = flags.workdir("benchmark")
        directories.clear(directory, values.overwrite, FILES)
    load = os.getloadavg()[0]
    with flags.user_errors(Unavailable), workers.started() as worker:
        workers.prepare(worker, "device", workers.competitor("device"))
        device = workers.call(worker, "device", "device")

    found: list[Row] = []
    with flags.user_errors(Unavailable), tqdm(unit="row", disable=None) as bar:
        for name, section in SECTIONS.items():
            if name not in values.sections:
                continue
            for row in section(device["platform"], bar.set_postfix_str):
                found.append(row)
                bar.update()
    seconds = time.perf_counter() - STARTED
    where = provenance(flags.command("benchmark"), seconds, device["kind"], PACKAGES)
    header = f"{where} Load average at the start {load:.2f}."
    text = report.markdown(found, header)
    print(text)
    with flags.user_errors(OSError):
        write_atomically(directory / "benchmark.md", text.encode())
        write_atomically(directory / "benchmark.csv", to_csv(found).encode())
        figure = figures.draw(found)
        if figure is not None:
            write_atomically(directory / "benchmark.png", drawing.png(figure))
    written = FILES if figure is not None else FILES[:2]
    print(f"files  {directory}: {', '.join(written)}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
