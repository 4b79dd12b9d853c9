"""Trains every combination of varied settings with every seed, each a complete run.

usage: python -m experiments.sweep --seeds=100 --vary=learning_rate=0.3,1,3 --vary=hidden=10,30,100
       python -m experiments.sweep --seeds=5 --vary=learning_rate=log:0.01:10:20

Writes results.csv (a row a run), summary.csv and figures. Settings that are not varied are those of
experiments.train, by the same flags. Seeds count up from --seed. Values of hidden with several
layers are joined by x, as in hidden=30,128x64.
"""

import contextlib
import csv
import dataclasses
import functools
import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax import data, runs
from digits_jax.config import Config
from digits_jax.parallel import distributed, sweeps
from digits_jax.parallel.distributed import Job
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments.cli import compilation_cache, devices, flags, job
from experiments.sweeping import figures, results, summary, vary

RESULTS_FILE, SUMMARY_FILE = "results.csv", "summary.csv"
# What the results depend on.
FLAG_NAMES = (*(field.name for field in dataclasses.fields(Config)), "seeds", "vary")


def define_flags() -> None:
    """Defines the flags of a sweep beside those of a run."""
    flags.define_config()
    flags.define_workdir()
    absl_flags.DEFINE_multi_string(
        "vary", [], "field=value,... or =log:low:high:n, =uniform:low:high:n", module_name="sweep"
    )
    absl_flags.DEFINE_integer(
        "seeds", 10, "runs of each setting", lower_bound=1, module_name="sweep"
    )
    absl_flags.DEFINE_string("chunk", "auto", "runs on a device in one call", module_name="sweep")
    devices.define_cpu_devices("CPU lanes; auto: one a core", "sweep")
    absl_flags.DEFINE_bool("resume", False, "go on with the sweep in workdir", module_name="sweep")
    job.define()


def sweep_flags() -> str:
    """What the results of a sweep depend on, a flag a line, as `--flagfile` reads them."""
    own = "".join(f"{flags.FLAGS[name].serialize()}\n" for name in ("seeds", "vary"))
    return flags.config_flags() + own.replace("\n\n", "\n")


def take_up_flags(directory: Path) -> None:
    """Takes over the flags of the sweep in `directory`.

    Raises:
        ValueError: where there is none, or a flag is given that differs from the sweep's.
    """
    path = directory / runs.FLAGS_FILE
    if not (path.is_file() and (directory / RESULTS_FILE).is_file()):
        raise ValueError(f"{directory} holds no sweep to resume")
    recorded = path.read_text().splitlines()
    for name in FLAG_NAMES:
        flag = flags.FLAGS[name]
        there = [line for line in recorded if line.startswith(f"--{name}=")]
        if flag.present and flag.serialize().split("\n") != there:
            given = flag.serialize().replace("\n", " ")
            raise ValueError(
                f"{given} contradicts {' '.join(there) or f'{name} unset'} of the sweep in "
                f"{directory}"
            )
    put_flags(recorded)


def put_flags(lines: Sequence[str]) -> None:
    """Sets the flags of a sweep as its flags.txt, or process 0, has them."""
    for name in FLAG_NAMES:
        if name != "data_dir":
            flags.FLAGS[name].unparse()
    flags.FLAGS(["sweep", *lines])


def chunk_size() -> int | None:
    """Runs that a device trains in one call; `None` for auto."""
    text: str = flags.FLAGS.chunk
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"chunk={text}: expected auto or a whole number of at least 1")
    return int(text)


class Sweep(NamedTuple):
    """What a sweep is to do, and where; in a job, process 0 alone has a directory."""

    directory: Path | None
    varied: dict[str, list[Any]]
    configs: list[Config]
    chunk: int | None
    finished: set[int]


def prepare(held: contextlib.ExitStack, here: Job) -> Sweep:
    """Checks all flags and data, and takes hold of the folder, before anything runs."""
    job.check_same_flags(here)
    devices.use_cpu_devices(auto=devices.cores())
    directory = find_directory() if here.is_primary else None
    recorded = distributed.share(here, "sweep", sweep_flags()).splitlines()
    if flags.FLAGS.resume and directory is None:
        # This process may keep its data elsewhere.
        own = "--data_dir=" if flags.FLAGS.data_dir else None
        put_flags([line for line in recorded if not (own and line.startswith(own))])
    base, chunk = flags.config(), chunk_size()
    varied = vary.parse(flags.FLAGS.vary, base.seed)
    seeds = range(base.seed, base.seed + flags.FLAGS.seeds)
    configs = sweeps.combinations(base, varied, seeds)
    for indices in sweeps.programs(configs):
        splits = load(configs[indices[0]])
        job.check_same_data(here, splits, indices[0])
    finished: list[int] = []
    if directory:
        columns = ("run", *varied, "seed", *results.OUTCOME_COLUMNS)
        finished = take_directory(held, directory, columns)
    finished = json.loads(distributed.share(here, "finished", json.dumps(finished)))
    return Sweep(directory, varied, configs, chunk, set(finished))


def find_directory() -> Path:
    """The folder of the sweep that the flags name; with `--resume`, its flags are taken over."""
    if flags.FLAGS.resume and (flags.FLAGS.workdir is None or flags.FLAGS.overwrite):
        raise ValueError("--resume needs --workdir=SWEEP, and no --overwrite")
    directory = flags.workdir("sweep")
    if flags.FLAGS.resume:
        take_up_flags(directory)
    else:
        directories.check(directory, flags.FLAGS.overwrite)
    return directory


def take_directory(
    held: contextlib.ExitStack, directory: Path, columns: Sequence[str]
) -> list[int]:
    """Makes the folder of a sweep, held by `held`, and gives the runs that it holds already."""
    held.enter_context(directories.locked(directory))
    if not flags.FLAGS.resume:
        files = (runs.FLAGS_FILE, RESULTS_FILE, SUMMARY_FILE, *figures.PATTERNS)
        directories.clear(directory, flags.FLAGS.overwrite, files)
        write_atomically(directory / runs.FLAGS_FILE, sweep_flags().encode())
    return list(results.read_or_make(directory / RESULTS_FILE, columns))


def train(plan: Sweep) -> list[str]:
    """Trains what is not finished, a row a run in results.csv; gives a line for each program."""
    directory, varied, configs, chunk, finished = plan
    lines = []
    with (
        # In a job process 0 alone writes.
        open(directory / RESULTS_FILE if directory else os.devnull, "a") as file,
        tqdm(
            total=len(configs),
            initial=len(finished),
            unit="run",
            disable=None if directory else True,
        ) as bar,
    ):
        for indices in sweeps.programs(configs):
            waiting = [index for index in indices if index not in finished]
            if not waiting:
                continue
            splits = load(configs[waiting[0]])
            sizes = len(splits.validation.labels), len(splits.test.labels)
            program = [configs[index] for index in waiting]
            at_once = chunk or sweeps.auto_chunk(program, splits)
            total = 0.0
            for positions, outcome, seconds in sweeps.sweep(program, splits, at_once):
                total += seconds
                rows = results.rows(outcome, *sizes, seconds / len(positions))
                for position, cells in zip(positions, rows, strict=True):
                    index = waiting[position]
                    file.write(",".join([str(index), *_settings(configs[index], varied), *cells]))
                    file.write("\n")
                file.flush()
                bar.update(len(positions))
            lines.append(_pace(len(program), total, at_once))
    return lines


def _pace(count: int, seconds: float, chunk: int) -> str:
    device = jax.local_devices()[0]
    line = (
        f"{count:,} runs, {count / seconds:.3g} a second without compilation: up to {chunk:,} in a "
        f"call on each of {jax.device_count()} devices ({device.device_kind})"
    )
    if memory := device.memory_stats():
        line += f", {memory['peak_bytes_in_use'] / 2**30:.1f} GiB"
    return line


def finish(directory: Path, varied: list[str]) -> str:
    """Writes summary and figures, and gives what is to be printed."""
    with open(directory / RESULTS_FILE, newline="") as file:
        rows = list(csv.DictReader(file))
    table = summary.summarise(rows, varied)
    write_atomically(directory / SUMMARY_FILE, summary.as_csv(table).encode())
    lines = [summary.as_text(table, varied)]
    diverged = sum(not math.isfinite(float(row["train_loss"])) for row in rows)
    if diverged:
        lines.append(f"the loss of {diverged} runs is not finite; they count as they are")
    written = [RESULTS_FILE, SUMMARY_FILE]
    try:
        drawing.require()
    except ValueError as error:
        lines.append(f"no figures: {error}")
    else:
        for name, png in figures.draw(rows, table, varied).items():
            write_atomically(directory / name, png)
            written.append(name)
    return "\n".join([*lines, f"files  {directory}: {', '.join(written)}"])


def main() -> None:
    compilation_cache.use()
    with job.joined() as here, contextlib.ExitStack() as held:
        with flags.user_errors(ValueError, OSError):
            plan = prepare(held, here)
        try:
            with flags.user_errors(OSError):
                lines = train(plan)
                if plan.directory:
                    print("\n".join([*lines, finish(plan.directory, list(plan.varied))]))
        except KeyboardInterrupt:
            if plan.directory:
                print(
                    "stopped; to go on: python -m experiments.sweep --resume "
                    f"--workdir={shlex.quote(str(plan.directory))}",
                    file=sys.stderr,
                )
            sys.exit(130)


def load(config: Config) -> data.Splits:
    """The data of a run, read once for all runs that share it."""
    return _load(**flags.data_settings(config))


_load = functools.lru_cache(maxsize=2)(data.load)


def _settings(config: Config, varied: dict[str, list[Any]]) -> list[str]:
    values = [getattr(config, name) for name in varied]
    texts = [
        "x".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values
    ]
    return [*texts, str(config.seed)]


if __name__ == "__main__":
    define_flags()
    flags.run(main)
