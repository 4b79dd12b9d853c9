"""Compares automatic differentiation with back-propagation by hand: do they agree, at what cost?

For any network: the difference of every gradient from reverse mode in float64, the course of
training, the compiled programs, time and memory, and which check catches which mistake in
back-propagation. A gradient of your own is a method like any other:

    python -m experiments.compare_gradients --entries=mine.py --gradients=student

Prints the answer; writes comparison.md, comparison.csv and figures. The exit status is 1 if a
gradient by hand is wrong. Without flags it takes some minutes, with --quick half a minute.

usage: python -m experiments.compare_gradients [--quick] [--fault=NAME] [--flag=value ...]
"""

import dataclasses
import time
from collections.abc import Collection
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax import checking, data
from digits_jax.gradients import GRADIENTS
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import check_memory
from experiments import STARTED
from experiments.cli import entries, flags, records, script
from experiments.comparison import figures, report
from experiments.comparison.checks import FAULTS, NONE
from experiments.comparison.methods import DTYPES, METHODS
from experiments.comparison.problem import make_problem, points
from experiments.comparison.tables import Scope, compute, to_csv

NAME, COMPARISON = "compare_gradients", "comparison"
FILES = ("comparison.md", "comparison.csv", *(f"{name}.png" for name in figures.FIGURES))
# What --quick gives to flags that are not given.
QUICK = {
    "networks": ["3", "10"],
    "batch_sizes": ["10", "100"],
    "dtypes": ["float32", "float64"],
    "time_limit": 0.4,
}
MOVED = {"explain": "explain_gradients", "estimators": "compare_estimators"}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config()
    here: dict[str, Any] = {"module_name": "comparison"}
    networks = ["10", "100", "300", "1000", "3000"]
    meaning = "hidden layers of further networks; none if --hidden is given"
    absl_flags.DEFINE_spaceseplist("networks", networks, meaning, **here)
    sizes = ["1", "10", "100", "1024"]
    absl_flags.DEFINE_list("batch_sizes", sizes, "further batch sizes", **here)
    absl_flags.DEFINE_list("methods", list(METHODS), "ways to a gradient", **here)
    meaning = "number types to compute in; times are taken in the first possible"
    absl_flags.DEFINE_list("dtypes", list(DTYPES), meaning, **here)
    meaning = "mistake to put into back-propagation by hand and to train with; none: no mistake"
    absl_flags.DEFINE_enum("fault", "all", ["all", *FAULTS], meaning, **here)
    meaning = "skip methods whose gradient would take longer than this many seconds"
    absl_flags.DEFINE_float("time_limit", 5.0, meaning, 0.0, **here)
    absl_flags.DEFINE_bool("quick", False, "fewer and smaller: half a minute", **here)
    for flag, other in MOVED.items():
        meaning = f"moved: python -m experiments.{other}"
        absl_flags.DEFINE_bool(flag, False, meaning, **here)
    flags.define_workdir()
    records.define()


def among(name: str, known: Collection[str]) -> tuple[str, ...]:
    """The names that a list flag gives.

    Raises:
        ValueError: in one line, if one is not known or none is given.
    """
    names: list[str] = flags.FLAGS[name].value or []
    if not names or set(names) - set(known):
        raise ValueError(f"{name}={','.join(names)}: choose among {', '.join(known)}")
    return tuple(name for name in dict.fromkeys(names) if name != "autodiff")


def chosen_methods(gradients: str) -> tuple[str, ...]:
    """Those of --methods and the exact gradient that --gradients names."""
    named = among("methods", [*METHODS, *(name for name in GRADIENTS if name not in METHODS)])
    own = (gradients,) if gradients in GRADIENTS else ()
    return tuple(name for name in dict.fromkeys(("autodiff", *named, *own)))


def main() -> int:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    if not values["hidden"].using_default_value:
        flags.put_defaults({"networks": []})
    with script.user_errors(ValueError, OSError):
        for flag, other in MOVED.items():
            if values[flag].value:
                raise ValueError(f"--{flag} is now python -m experiments.{other}")
        drawing.require()
        config = dataclasses.replace(flags.config(), shards=1, validation_size=0)
        places = points(config, values.networks, flags.whole_numbers("batch_sizes"))
        scope = Scope(
            methods=chosen_methods(config.gradients),
            dtypes=among("dtypes", DTYPES),
            faults={"all": tuple(FAULTS), NONE: ()}.get(values.fault, (values.fault,)),
            limit=values.time_limit,
            seconds=0.02 if values.quick else 0.1,
            epochs=1 if values.quick else 3,
            seeds=3 if values.quick else 5,
        )
        dataclasses.replace(config, seed=config.seed + scope.seeds - 1)  # the last must be one
        directory = flags.workdir(COMPARISON)
        directories.check(directory, values.overwrite)
        splits = data.load(**config.data_settings)
        for place in places:
            check_memory(place, splits.image_shape, splits.num_classes)
        directories.clear(directory, values.overwrite, FILES)

    found = compute(places, splits, scope)
    wrong = report.wrong(found)
    if entries.given() or wrong:  # which mistake it is
        problem = make_problem(places[0], splits)
        network = problem.model, problem.loss, splits.image_shape, splits.num_classes
        by_hand = [name for name in scope.methods[1:] if name in GRADIENTS]
        each = [checking.check_gradient(GRADIENTS[name], *network, name) for name in by_hand]
        wrong = [f"{c.name}: {str(c.wrong[0]).split('  ')[1]}" for c in each if c.wrong] or wrong
    seconds, device = time.perf_counter() - STARTED, jax.devices()[0].device_kind
    provenance = records.provenance(flags.command(NAME), seconds, device)
    print("\n".join([*(f"WRONG     {line}" for line in wrong), *report.answer(found)]))
    pictures = figures.draw(found)
    text = report.markdown(found, provenance, {name: f"{name}.png" for name in pictures}, wrong)
    files = {"comparison.md": text.encode(), "comparison.csv": to_csv(found).encode()}
    files |= {f"{name}.png": picture for name, picture in pictures.items()}
    for file, content in files.items():
        write_atomically(directory / file, content)
    print(f"files     {directory}: {', '.join(files)}")
    if values.record:
        given = [] if values["hidden"].using_default_value else map(str, config.hidden)
        record = "-".join([NAME, *given]).replace("/", "_")
        linked = {name: f"{record}-{name}.png" for name in pictures}
        text = report.markdown(found, provenance, linked, wrong)
        print(f"record    {records.write(record, text, pictures)[0]}")
    return int(bool(wrong))


if __name__ == "__main__":
    define_flags()
    script.run(main)
