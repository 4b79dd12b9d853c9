"""Measures this project against what people would use instead, and against the machine.

One epoch of the classic training beside NumPy, PyTorch and scikit-learn; the time of its matrix
products alone; the default run as a whole process; how time grows. Writes benchmark.md,
benchmark.csv and benchmark.png. Without flags it takes some minutes, with --quick one.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax import canvas, runs
from digits_jax.files import write_atomically
from experiments import STARTED, flags
from experiments.benchmarks import epochs, figures, growth, processes, report, workers
from experiments.benchmarks.rows import Row, to_csv
from experiments.markdown import machine
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
        rounds=flags.FLAGS.rounds,
        seconds=0.05 if quick else 0.2,
        seeds=1 if quick else 3,
        epochs=2 if quick else 5,
        search=not quick,
    )
    return epochs.rows(settings, platform, has_avx512(), progress)


def process_rows(platform: str, progress: Progress) -> Iterator[Row]:
    """Whole processes."""
    quick = flags.FLAGS.quick
    settings = processes.Settings(
        rounds=1 if quick else flags.FLAGS.rounds,
        epochs=2 if quick else processes.DEFAULT_EPOCHS,
        warm_up=not quick,
        all_threads=not quick,
    )
    return processes.rows(settings, progress)


def growth_settings() -> growth.Settings:
    """How much of growth is measured."""
    quick = flags.FLAGS.quick
    return growth.Settings(
        batch_sizes=numbers("growth_batch_sizes"),
        train_sizes=numbers("train_sizes"),
        widths=numbers("widths"),
        depths=numbers("depths"),
        networks=numbers("networks"),
        network_epochs=1 if quick else 3,
        rounds=flags.FLAGS.rounds,
        seconds=0.02 if quick else 0.1,
    )


# Every section by name, in the order in which they are measured.
SECTIONS: dict[str, Callable[[str, Progress], Iterator[Row]]] = {
    "epochs": epoch_rows,
    "processes": process_rows,
    "growth": lambda platform, progress: growth.rows(growth_settings(), progress),
    "sweeps": lambda platform, progress: growth.network_rows(growth_settings(), platform, progress),
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


def sections() -> list[str]:
    """The sections that are asked for, in the order in which they are measured.

    Raises:
        ValueError: in one line, where one is not known.
    """
    given = flags.FLAGS.sections
    for name in given or [""]:
        if name not in SECTIONS:
            raise ValueError(f"sections={','.join(given)}: choose among {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in given]


def has_avx512() -> bool:
    """Whether the processor can compute 512 bits at a time, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and " avx512f " in cpuinfo.read_text()


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        for name, value in QUICK.items():
            if values[name].using_default_value:
                values[name].value = value
    with flags.user_errors(ValueError, OSError):
        canvas.require()
        chosen = sections()
        check_numbers()
        directory = flags.workdir("benchmark")
        runs.clear_directory(directory, values.overwrite, FILES)
    load = os.getloadavg()[0]
    with workers.started() as worker:
        workers.prepare(worker, "device", "experiments.benchmarks.competitors.device")
        device = workers.call(worker, "device", "device")

    found: list[Row] = []
    with tqdm(unit="row", disable=None) as bar:
        for name in chosen:
            for row in SECTIONS[name](device["platform"], bar.set_postfix_str):
                found.append(row)
                bar.update()
    seconds = time.perf_counter() - STARTED
    where = machine(flags.command("benchmark"), seconds, device["kind"], PACKAGES)
    header = f"{where} {date.today()}; load average at the start {load:.2f}."
    text = report.markdown(found, header)
    print(text)
    with flags.user_errors(OSError):
        write_atomically(directory / "benchmark.md", text.encode())
        write_atomically(directory / "benchmark.csv", to_csv(found).encode())
        write_atomically(directory / "benchmark.png", canvas.png(figures.draw(found)))
    print(f"files  {directory}: {', '.join(FILES)}")


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


if __name__ == "__main__":
    define_flags()
    flags.run(main)
