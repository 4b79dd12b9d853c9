"""Trains every combination of varied settings with every seed, each a complete run.

usage: python -m experiments.sweep --seeds=100 --vary=learning_rate=0.3,1,3 --vary=hidden=10,30,100
       python -m experiments.sweep --seeds=5 --vary=learning_rate=loggrid:0.01:10:7
       python -m experiments.sweep --seeds=5 --vary=learning_rate=log:0.01:10:20

The second takes 7 values, evenly spaced as logarithms (grid: as they are); the third draws 20 at
random (uniform: likewise). Writes results.csv (a row a run), summary.csv and figures; with
--record=NAME the summary also into experiments/records, with the command that makes it again.
Settings that are not varied are those of experiments.train, by the same flags. Seeds count up from
--seed. Values of hidden with several layers are joined by +, as in hidden=30,128+64; between plain
numbers by x as well. Of several settings the best by validation is trained once more, with its best
seed, into a run of its own: best in the sweep's folder, its model best.safetensors.
"""

import contextlib
import csv
import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from digits_jax import runs
from digits_jax.parallel import sweeps
from digits_jax.parallel.distributed import Job
from digits_jax.parallel.mesh import broadcast
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.directories import RESULTS_FILE, SWEEP_SUMMARY_FILE
from digits_jax.runs.files import write_atomically
from experiments.cli import devices, flags, progress, records, start
from experiments.cli.flags import FLAGS
from experiments.sweeping import best, figures, record, results, summary
from experiments.sweeping.plan import SCRIPT, Plan, load, prepare


def define_flags() -> None:
    """Defines the flags of a sweep beside those of a run."""
    flags.define_config()
    start.define(SCRIPT)
    about: dict[str, Any] = {"module_name": "sweep"}
    text = "field=value,...; even: =grid:low:high:n, =loggrid:; at random: =uniform:, =log:"
    absl_flags.DEFINE_multi_string("vary", [], text, **about)
    absl_flags.DEFINE_integer("seeds", 10, "runs of each setting", lower_bound=1, **about)
    absl_flags.DEFINE_string("chunk", "auto", "runs on a device in one call", **about)
    devices.define_cpu_devices("CPU lanes; auto: one a core", "sweep")
    records.define_named()


def train(plan: Plan, should_stop: Callable[[], bool]) -> str | None:
    """Trains what is not finished, a row a run in results.csv; then writes what they come to.

    Gives what it was stopped after, if it was.
    """
    directory, configs, finished = plan.directory, plan.configs, set(plan.finished)
    with (
        # In a job process 0 alone writes.
        open(directory / RESULTS_FILE if directory else os.devnull, "a", newline="") as file,
        progress.shown("run", len(configs), len(finished), quiet=directory is None) as advance,
    ):
        writer, lines = csv.DictWriter(file, plan.columns, lineterminator="\n"), []
        for indices in sweeps.by_program(configs):
            waiting = [index for index in indices if index not in finished]
            if not waiting:
                continue
            splits, program = load(configs[waiting[0]]), [configs[index] for index in waiting]
            sizes = len(splits.validation.labels), len(splits.test.labels)
            at_once, total = plan.chunk or sweeps.auto_chunk(program, splits), 0.0
            if should_stop():
                return f"{len(finished)} of {len(configs)} runs"
            for positions, outcome, seconds in sweeps.sweep(program, splits, at_once):
                total += seconds
                ends = results.rows(outcome, *sizes, seconds / len(positions))
                for position, cells in zip(positions, ends, strict=True):
                    index = waiting[position]
                    outcomes = dict(zip(results.OUTCOME_COLUMNS, cells, strict=True))
                    writer.writerow({"run": index, **plan.rows[index], **outcomes})
                    finished.add(index)
                file.flush()
                advance(len(positions))
                if len(finished) < len(configs) and should_stop():
                    return f"{len(finished)} of {len(configs)} runs"
            lines.append(summary.pace(len(program), total, at_once))
    rows: list[dict[str, str]] = []
    if directory:
        with open(directory / RESULTS_FILE, newline="") as file:
            rows = list(csv.DictReader(file))
    table, chosen = summary.summarise(rows, list(plan.varied)), None
    chosen = json.loads(broadcast(json.dumps(best.choose(rows, table, list(plan.varied))).encode()))
    if chosen is not None:
        config = configs[chosen]
        if after := best.train(directory, config, load(config), should_stop):
            return after
    if directory:
        home = directories.home(directory)
        lines += finish(directory, rows, table, list(plan.varied))
        if chosen is not None:
            told = f"run {chosen} once more, seed {configs[chosen].seed}"
            lines.append(f"best   {told}: {home / best.FOLDER}, its model also {best.MODEL_FILE}")
        write_atomically(directory / SWEEP_SUMMARY_FILE, summary.as_csv(table).encode())
        directories.replace_earlier(home)
        flags.say(*lines)
    return None


def finish(
    directory: Path,
    rows: Sequence[Mapping[str, str]],
    table: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
) -> list[str]:
    """Writes figures, and gives the lines to be printed."""
    lines = [
        *summary.as_text(table, varied).splitlines(),
        *summary.without_difference(rows, varied),
    ]
    if len(tied := summary.tied(table, varied)) > 1:
        lines.append(f"equally good by validation: {', '.join(tied)}; the first is kept")
    drawn = [text for text in FLAGS.vary if re.search("=(log|uniform):", text)]
    lines += [f"drawn at random, by --seed: {text}" for text in drawn]
    if diverged := sum(entry["diverged"] for entry in table):
        lines.append(f"the loss of {diverged} runs is not finite; they count as they are")
    pictures: dict[str, bytes] = {}
    try:
        drawing.require()
    except ValueError as error:
        lines.append(f"no figures: {error}")
    else:
        pictures = figures.draw(rows, table, varied)
    for name, png in pictures.items():
        write_atomically(directory / name, png)
    written = ", ".join([RESULTS_FILE, SWEEP_SUMMARY_FILE, *pictures])
    lines.append(f"files  {directories.home(directory)}: {written}")
    if FLAGS.record:
        lines.append(f"record {record.write(FLAGS.record, table, varied, pictures)}")
    return lines


def begin(held: contextlib.ExitStack, here: Job) -> start.Work:
    """What `start.run` takes."""
    plan = prepare(held, here)
    return plan.directory, functools.partial(train, plan)


def main() -> int | None:
    return start.run(SCRIPT, begin)


if __name__ == "__main__":
    define_flags()
    flags.run(main, runs.Diverged, FloatingPointError)
