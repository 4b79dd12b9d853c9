"""What a run takes of each of many devices, as the compiler tells. Nothing is trained.

Compiles the run's real epoch for as many virtual CPU devices and prints, of a device, the memory
that the epoch takes, and the all-reduces in its program, with the bytes that go in.

usage: python -m experiments.scaling [--devices=1,2,4,8] [--train_size=60000] [--batch_size=1000]
       [flags of experiments.train]
"""

import dataclasses
import math
import re
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags as absl_flags

from digits_jax.config import Config
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.runs.programs import compile_programs
from experiments import STARTED
from experiments.cli import flags, records

TITLE = "# What a run takes of each of many devices"
ABOUT = (
    "Of each device: bytes that an epoch's program reads, needs meanwhile and writes; its "
    "all-reduces in a step of the loop and outside of it, and the bytes that go into them."
)
HEADER = ("devices", "arguments", "temporaries", "outputs", "all-reduces a step", "an epoch")
ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+))\[([\d,]*)\]")


class Program(NamedTuple):
    """Of each device, in bytes: memory, and what it puts into each all-reduce."""

    arguments: int
    temporaries: int
    outputs: int
    each_step: list[int]
    each_epoch: list[int]


def compile_epoch(config: Config, image_shape: tuple[int, ...], num_classes: int) -> Program:
    """Asks the compiler about an epoch of `config` on as many devices as it has shards."""

    def blank(count: int) -> Dataset:  # images that take no memory
        images = np.broadcast_to(np.uint8(0), (count, *image_shape))
        return Dataset(images, np.broadcast_to(np.int32(0), (count,)))

    evaluated = blank(config.shards)  # no part of the epoch
    splits = Splits(blank(config.train_size), evaluated, evaluated, num_classes)
    epoch: Any = compile_programs(config, splits).epoch
    m = epoch.memory_analysis()
    sizes = m.argument_size_in_bytes, m.temp_size_in_bytes, m.output_size_in_bytes
    return Program(*sizes, *all_reduces(epoch.as_text()))


def all_reduces(hlo: str) -> tuple[list[int], list[int]]:
    """The bytes of each all-reduce of a program: in its loops, and outside of them."""
    found: tuple[list[int], list[int]] = ([], [])
    outside = False
    for line in hlo.splitlines():
        if line[:1].strip("} "):  # where a computation begins
            outside = line.startswith("ENTRY")
        if match := re.search(r"= (.*) all-reduce(?:-start)?\(", line):
            arrays = ARRAY.findall(match[1])
            sizes = [math.prod(map(int, filter(None, dims.split(",")))) for _, dims in arrays]
            types = [int(bits or 8) // 8 for bits, _ in arrays]
            found[outside].append(sum(map(math.prod, zip(types, sizes, strict=True))))
    return found


def amount(count: float) -> str:
    """Bytes as a person reads them: 1.2 MB."""
    power = min(4, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def main() -> None:
    with flags.user_errors(ValueError):
        counts, shape = flags.whole_numbers("devices"), flags.whole_numbers("image_shape")
        if not counts or min(counts) < 1:
            raise ValueError("devices: expected numbers of at least 1, as in 1,2,4,8")
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError("image_shape: expected height and width, as in 28,28")
        for name, value in {"jax_platforms": "cpu", "jax_num_cpu_devices": max(counts)}.items():
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
        configs = [dataclasses.replace(flags.config(), shards=count) for count in counts]
        programs = [compile_epoch(config, shape, flags.FLAGS.classes) for config in configs]
        rows = [
            [count, *map(amount, p[:3]), *(f"{len(s)}: {amount(sum(s))}" for s in p[3:])]
            for count, p in zip(counts, programs, strict=True)
        ]
        print(text := records.table(HEADER, rows))
    if flags.FLAGS.record:
        seconds, device = time.perf_counter() - STARTED, jax.devices()[0].device_kind
        where = records.provenance(flags.command("scaling"), seconds, device)
        markdown = "\n\n".join((TITLE, where, ABOUT, text)) + "\n"
        print(f"record  {records.write('scaling', markdown, {})[0]}")


if __name__ == "__main__":
    flags.define_config()
    flags.FLAGS.set_default("train_size", 60_000)
    flags.FLAGS.set_default("batch_size", 1_000)
    absl_flags.DEFINE_list("devices", ["1", "2", "4", "8"], "how many", module_name="scaling")
    absl_flags.DEFINE_list("image_shape", ["28", "28"], "in pixels", module_name="scaling")
    absl_flags.DEFINE_integer("classes", 10, "classes", 1, module_name="scaling")
    records.define()
    flags.run(main)
