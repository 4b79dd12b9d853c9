"""Measures this project against what people would use instead, and against the machine.

One epoch of the classic training beside NumPy, PyTorch and scikit-learn; the time of its matrix
products alone. Writes benchmark.md and benchmark.csv.

usage: python -m experiments.benchmark [--quick] [--sections=NAME,NAME] [--flag=value ...]
"""

import os
import shlex
import time
from datetime import date
from pathlib import Path

from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax import runs
from digits_jax.files import write_atomically
from experiments import STARTED, flags
from experiments.benchmarks import epochs, report, workers
from experiments.benchmarks.rows import Row, to_csv
from experiments.markdown import machine

FILES = ("benchmark.md", "benchmark.csv")
SECTIONS = ("epochs",)
PACKAGES = ("jax", "jaxlib", "numpy", "torch", "scikit-learn")
# What --quick gives to flags that are not given.
QUICK = {"batch_sizes": ["10", "128"], "rounds": 3}


def define_flags() -> None:
    """Defines the flags of this script."""
    group = "benchmark"
    help = "fewer and smaller, each peer in one form: a minute"
    absl_flags.DEFINE_bool("quick", False, help, module_name=group)
    help = f"what to measure, among {', '.join(SECTIONS)}"
    absl_flags.DEFINE_list("sections", list(SECTIONS), help, module_name=group)
    help = "images in a batch"
    absl_flags.DEFINE_list("batch_sizes", ["1", "10", "32", "128", "1000"], help, module_name=group)
    help = "turns of each competitor"
    absl_flags.DEFINE_integer("rounds", 7, help, 1, module_name=group)
    flags.define_workdir()


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
        settings = epochs.Settings(
            batch_sizes=flags.whole_numbers("batch_sizes"),
            rounds=values.rounds,
            seconds=0.05 if values.quick else 0.2,
            seeds=1 if values.quick else 3,
            epochs=2 if values.quick else 5,
            search=not values.quick,
        )
        directory = flags.workdir("benchmark")
        runs.clear_directory(directory, values.overwrite, FILES)
    load = os.getloadavg()[0]
    with workers.started() as worker:
        workers.prepare(worker, "device", "experiments.benchmarks.competitors.device")
        device = workers.call(worker, "device", "device")

    found: list[Row] = []
    with tqdm(unit="row", disable=None) as bar:
        for row in epochs.rows(settings, device["platform"], has_avx512(), bar.set_postfix_str):
            found.append(row)
            bar.update()
    command = shlex.join(["python", "-m", "experiments.benchmark"])
    where = machine(command, time.perf_counter() - STARTED, device["kind"], PACKAGES)
    header = f"{where} {date.today()}; load average at the start {load:.2f}."
    text = report.markdown(found, header)
    print(text)
    with flags.user_errors(OSError):
        write_atomically(directory / "benchmark.md", text.encode())
        write_atomically(directory / "benchmark.csv", to_csv(found).encode())
    print(f"files  {directory}: {', '.join(FILES)}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
