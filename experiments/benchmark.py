"""Measures this project against what people would use instead, and against the machine.

One epoch of the classic training beside NumPy, PyTorch and scikit-learn; the time of its matrix
products alone; the default run as a whole process; growth with images and with networks; a step of
a convolutional network; where asked for, the recipes. Prints the answer, and writes its tables:
benchmark.md, benchmark.csv, benchmark.png. Without flags it takes a quarter of an hour, with
--quick three minutes.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from absl import flags as absl_flags

from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments import STARTED
from experiments.benchmarks import figures, report, sections, workers
from experiments.benchmarks.measurements import Measurement, to_csv
from experiments.benchmarks.trainings import CLASSIC, CNN, CNN_BATCH_SIZE, PEERS
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
DEFAULT = ("epochs", "processes", "growth", "sweeps", "cnn")
SECTIONS = (*DEFAULT, sections.RECIPES)


def measure(names: Sequence[str], platform: str) -> Iterator[Measurement]:
    """Every section that is named, one after the other."""
    values = flags.FLAGS
    rounds, classic = values.rounds, CLASSIC.with_peers(values.peers)
    batch_sizes, growth_batch_sizes, train_sizes, networks = map(numbers, LISTS)
    every = {
        "epochs": sections.trainings(classic, batch_sizes, rounds, values.all_forms),
        "processes": sections.processes(classic, rounds),
        "growth": sections.images(growth_batch_sizes, train_sizes, rounds),
        "sweeps": sections.sweeps(networks, rounds, platform),
        "cnn": sections.trainings(
            CNN.with_peers(values.peers), [CNN_BATCH_SIZE], rounds, values.all_forms
        ),
        sections.RECIPES: sections.recipes(rounds),
    }
    return itertools.chain(*(every[name] for name in SECTIONS if name in names))


def define_flags() -> None:
    """Defines the flags of this script."""
    group: dict[str, Any] = {"module_name": "benchmark"}
    absl_flags.DEFINE_bool("quick", False, "fewer and smaller: three minutes", **group)
    about = f"what to measure, among {', '.join(SECTIONS)}"
    absl_flags.DEFINE_list("sections", list(DEFAULT), about, **group)
    about = "what to compare one epoch and whole processes with"
    absl_flags.DEFINE_list("peers", list(PEERS), about, **group)
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
    for name in LISTS:
        numbers(name)
    for flag, known in (("sections", SECTIONS), ("peers", PEERS)):
        given: list[str] = flags.FLAGS[flag].value or []
        if set(given) - set(known) or not (given or flag == "peers"):
            raise ValueError(f"{flag}={','.join(given)}: choose among {', '.join(known)}")


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
    with flags.user_errors(Unavailable):
        with workers.started() as pool:
            device = pool("jax").prepare(f"{sections.HERE}.device")
            platform, kind = device("platform"), device("kind")
        found = list(measure(values.sections, platform))

    seconds = time.perf_counter() - STARTED
    where = records.provenance(flags.command("benchmark"), seconds, kind, PACKAGES)
    figure = figures.draw(found)
    picture = drawing.png(figure) if figure else None
    text = partial(report.markdown, found, where)
    contents = text(FILES[2] if picture else None).encode(), to_csv(found).encode(), picture
    written = {file: content for file, content in zip(FILES, contents, strict=True) if content}
    for file, content in written.items():
        write_atomically(directory / file, content)
    tables = [f"{directory}: {', '.join(written)}"]
    if values.record:
        parts = [] if values["sections"].using_default_value else values.sections
        name = "-".join(["benchmark", *parts])
        record = text(f"{name}-times.png" if picture else None)
        tables += map(str, records.write(name, record, {"times": picture} if picture else {}))
    for line in report.answer(found):
        print(line)
    if records.LOAD > BUSY:
        print(f"The machine was busy (load average {records.LOAD:.1f}): believe no time of these.")
    print(f"tables  {'; '.join(tables)}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
