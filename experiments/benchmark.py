"""Measures this project against what people would use instead, and against the machine.

It times one epoch of the classic training beside NumPy, PyTorch and scikit-learn, each in its
fastest form; the matrix products alone; whole processes; growth with images and with networks; a
step of a convolutional network; and, if asked, every recipe. It prints the answer and writes
benchmark.md, benchmark.csv and benchmark.png. This takes half an hour; --quick takes some minutes.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import csv
import io
import time
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments import STARTED
from experiments.benchmarks import report
from experiments.benchmarks.cases import CNN_PEERS, PEERS, SECTIONS
from experiments.benchmarks.turns import Measurement, take_turns
from experiments.cli import flags, progress, records, script
from experiments.peers.classic import TRAIN_SIZE

BUSY = 0.5  # load average above which times mean little
FILES = ("benchmark.md", "benchmark.csv", "benchmark.png")
PACKAGES = ("jax", "jaxlib", "numpy", "torch", "scikit-learn")
LISTS = {
    "batch_sizes": (["1", "10", "32", "128", "1000"], "batch sizes of an epoch"),
    "growth_batch_sizes": (["10", "128"], "batch sizes where growth is measured"),
    "train_sizes": (["1000", "10000", "60000", "1000000"], "numbers of training images"),
    "networks": (["1", "4", "16", "64"], "numbers of networks in a sweep"),
}
# What --quick gives to flags that are not given.
QUICK = {
    "batch_sizes": ["10", "128"],
    "growth_batch_sizes": ["128"],
    "train_sizes": ["1000", "10000"],
    "networks": ["2", "4"],
    "rounds": 1,
}
DEFAULT = tuple(name for name in SECTIONS if name != "recipes")
ALL_PEERS = (*PEERS, *CNN_PEERS)


def define_flags() -> None:
    """Defines the flags of this script."""
    group: dict[str, Any] = {"module_name": "benchmark"}
    absl_flags.DEFINE_bool("quick", False, "measure fewer sizes, once each", **group)
    about = f"what to measure: {', '.join(SECTIONS)}"
    absl_flags.DEFINE_list("sections", list(DEFAULT), about, **group)
    absl_flags.DEFINE_list("peers", list(ALL_PEERS), "what to compare with", **group)
    absl_flags.DEFINE_integer("rounds", 3, "number of times everything is measured", 1, **group)
    for name, (default, about) in LISTS.items():
        absl_flags.DEFINE_list(name, default, about, **group)
    records.define()
    flags.define_workdir()


def numbers(name: str) -> tuple[int, ...]:
    """The numbers in a flag.

    Raises:
        ValueError: in one line, where one is not a positive integer, or a batch is larger than the
            training set.
    """
    values = tuple(dict.fromkeys(flags.whole_numbers(name)))
    for value in values:
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
        if name.endswith("batch_sizes") and value > TRAIN_SIZE:
            raise ValueError(f"{name}={value}: must be at most {TRAIN_SIZE}, the training images")
    return values


def among(flag: str, known: tuple[str, ...]) -> list[str]:
    """The names in a flag.

    Raises:
        ValueError: in one line, where one is not known.
    """
    given: list[str] = flags.FLAGS[flag].value or []
    if set(given) - set(known) or not (given or flag == "peers"):
        raise ValueError(f"{flag}={','.join(given)}: choose from {', '.join(known)}")
    return given


def to_csv(found: list[Measurement]) -> str:
    """All measurements, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Measurement._fields, *found])
    return text.getvalue()


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    with script.user_errors(ValueError, OSError):
        drawing.require()
        sizes = {name: numbers(name) for name in LISTS}
        names, peers = among("sections", tuple(SECTIONS)), among("peers", ALL_PEERS)
        directory = flags.workdir("benchmark")
        directories.check(directory, values.overwrite)
        directories.clear(directory, values.overwrite, FILES)
    device = jax.devices()[0]
    cases = [
        forms
        for name, section in SECTIONS.items()
        if name in names
        for forms in section(peers=peers, platform=device.platform, **sizes)
        if forms
    ]
    with progress.shown("turn", values.rounds * len(cases), 0, quiet=False) as advance:
        found = take_turns(cases, values.rounds, advance)

    seconds = time.perf_counter() - STARTED
    command = flags.command("benchmark")
    where = records.provenance(command, seconds, device.device_kind, PACKAGES)
    figure = report.draw(found)
    written = {
        FILES[0]: report.markdown(found, where, FILES[2] if figure else None).encode(),
        FILES[1]: to_csv(found).encode(),
        **({FILES[2]: drawing.png(figure)} if figure else {}),
    }
    for file, content in written.items():
        write_atomically(directory / file, content)
    tables = [f"{directory}: {', '.join(written)}"]
    if values.record:
        parts = [] if values["sections"].using_default_value else values.sections
        name = "-".join(["benchmark", *parts])
        text = report.markdown(found, where, f"{name}-times.png" if figure else None)
        pictures = {"times": written[FILES[2]]} if figure else {}
        tables += map(str, records.write(name, text, pictures))
    for line in report.answer(found):
        print(line)
    if records.LOAD > BUSY:
        print(f"The machine was busy (load average {records.LOAD:.1f}): do not trust these times.")
    print(f"tables  {'; '.join(tables)}")


if __name__ == "__main__":
    define_flags()
    script.run(main)
