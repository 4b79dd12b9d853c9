"""Trains every combination of varied settings with every seed, and says which is best.

usage: python -m experiments.sweep --seeds=100 --vary=learning_rate=0.3,1,3 --vary=hidden=10,30,100
       python -m experiments.sweep --seeds=5 --vary=optimizer=sgd,adam \\
           --vary=learning_rate@sgd=loggrid:0.1:10:7 --vary=learning_rate@adam=loggrid:1e-4:0.1:7

Values are listed, or come from a range LOW:HIGH:N after grid: or loggrid: (evenly spaced, as they
are or as logarithms) or random: or lograndom: (drawn; older names: uniform:, log:). Listed values
are compared; fields of a range, or named by --tune, are tuned: each setting of the others has its
own best value, by validation accuracy. FIELD@VALUE holds for one value of another field. Several
layers: "hidden=30;128,64" has values as --hidden takes them, hidden=30,128x64 is shorter.

Other settings are those of experiments.train, by the same flags; seeds count up from --seed. Writes
results.csv (a row a run), curves.csv (a row an epoch), verdict.json, summary.csv and figures, and
trains the best of several settings once more, with its best seed, as a run: best in the folder.
"""

import contextlib
import csv
import functools
import json
import os
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from digits_jax import results as tables
from digits_jax import runs
from digits_jax.parallel import halving
from digits_jax.parallel.distributed import Job
from digits_jax.parallel.mesh import broadcast
from digits_jax.runs.directories import CURVES_FILE, RESULTS_FILE
from experiments.cli import devices, flags, progress, records, script, start
from experiments.cli.flags import FLAGS
from experiments.sweeping import best, finish
from experiments.sweeping.plan import SCRIPT, Plan, load, prepare


def define_flags() -> None:
    """Defines the flags of a sweep beside those of a run."""
    flags.define_config()
    start.define(SCRIPT)
    about: dict[str, Any] = {"module_name": "sweep"}
    text = "FIELD=VALUE,... or FIELD=RANGE:LOW:HIGH:N; may be given several times"
    absl_flags.DEFINE_multi_string("vary", [], text, **about)
    text = "varied field of which each setting of the others has its own best value"
    absl_flags.DEFINE_multi_string("tune", [], text, **about)
    absl_flags.DEFINE_integer("seeds", 10, "runs of each setting", lower_bound=1, **about)
    text = "train one in so many settings on, after each stage; 0: train all to their end"
    absl_flags.DEFINE_integer("halving", 0, text, lower_bound=0, **about)
    text = "score validation images after every epoch for curves.csv, which takes time"
    absl_flags.DEFINE_bool("validation_curves", False, text, **about)
    text = "write the norm of each layer's gradient into curves.csv"
    absl_flags.DEFINE_bool("gradient_norms", False, text, **about)
    absl_flags.DEFINE_string("chunk", "auto", "runs on a device in one call", **about)
    devices.define_cpu_devices("CPU lanes; auto: one a core", "sweep")
    records.define_named()


def train(plan: Plan, should_stop: Callable[[], bool]) -> str | None:
    """Trains what is not finished, a row a run in results.csv; then writes what they come to.

    Gives what it was stopped after, if it was.
    """
    # In a job process 0 alone writes.
    places = [
        plan.directory / n if plan.directory else os.devnull for n in (RESULTS_FILE, CURVES_FILE)
    ]
    done, spent = len(plan.ended), 0.0
    with contextlib.ExitStack() as stack:
        results, curves = (stack.enter_context(open(each, "a", newline="")) for each in places)
        quiet = plan.directory is None
        advance = stack.enter_context(progress.shown("run", len(plan.configs), done, quiet))
        rows = csv.DictWriter(results, plan.columns, lineterminator="\n")
        asked: Any = [FLAGS.halving, plan.ended, functools.partial(advance, 0)]
        asked += [FLAGS.validation_curves, FLAGS.gradient_norms]
        if done < len(plan.configs) and should_stop():
            return f"{done} of {len(plan.configs)} runs"
        for trained in halving.train(plan.configs, load, plan.chunk, *asked):
            if trained.outcome is not None:
                config, spent = plan.configs[trained.runs[0]], spent + trained.seconds
                splits, each = load(config), trained.seconds / len(trained.runs)
                for line in tables.curves(
                    trained.outcome, splits, config.steps_per_epoch, trained.runs
                ):
                    curves.write(line)
                curves.flush()
                ends = tables.outcomes(trained.outcome, splits, each)
                for run, outcome in zip(trained.runs, ends, strict=True):
                    rows.writerow({"run": run, **plan.rows[run], **outcome})
                results.flush()
            done += len(trained.runs)
            advance(len(trained.runs))
            if done < len(plan.configs) and should_stop():
                return f"{done} of {len(plan.configs)} runs"
    found = plan.directory and finish.find(plan)
    chosen = json.loads(broadcast(json.dumps(found and best.choose(found)).encode()))
    if chosen is not None:
        config = plan.configs[chosen]
        if after := best.train(plan.directory, config, load(config), should_stop):
            return after
    if plan.directory and found:
        finish.write(plan, found, spent, chosen)
    return None


def begin(held: contextlib.ExitStack, here: Job) -> start.Work:
    """What `start.run` takes."""
    plan = prepare(held, here)
    return plan.directory, functools.partial(train, plan)


def main() -> int | None:
    return start.run(SCRIPT, begin)


if __name__ == "__main__":
    define_flags()
    script.run(main, runs.Diverged, FloatingPointError)
