"""Compares automatic differentiation with back-propagation by hand: what it gives, what it costs.

For any network: exactness, the course of training, the compiled programs, time and memory of every
way to a gradient, and which check catches which mistake in back-propagation. Prints the answer;
writes comparison.md, comparison.csv and figures. Without flags it takes some minutes, with --quick
half a minute.

With --estimators instead, which takes a quarter of an hour: training by feedback alignment, direct
feedback alignment, forward gradient and evolution, each with the learning rate that is best for it:
accuracy after each epoch, the angle to the gradient, the price of a step. Where not said otherwise,
of three networks with tanh and cross-entropy in ten epochs. Writes estimators.md and two figures.

With --explain, in some seconds instead: for each equation of back-propagation the expression that
computes it by hand, the equations of the jaxpr of jax.grad that do the same, the instructions of
both optimised programs, and the numbers; --page writes it as one HTML page as well.

usage: python -m experiments.compare_gradients [--quick] [--fault=NAME] [--flag=value ...]
       python -m experiments.compare_gradients --estimators [--quick] [--flag=value ...]
       python -m experiments.compare_gradients --explain [--page=FILE] [--flag=value ...]
"""

import dataclasses
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax import data, gradients
from digits_jax.estimators import ESTIMATORS
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import check_memory
from experiments import STARTED
from experiments.cli import devices, flags, records
from experiments.comparison import (
    estimators,
    estimators_report,
    explain,
    explained,
    figures,
    report,
)
from experiments.comparison.faults import FAULTS, NONE
from experiments.comparison.methods import DTYPES, METHODS
from experiments.comparison.problem import make_problem, points
from experiments.comparison.tables import Scope, compute, to_csv

NAME, COMPARISON, ESTIMATED = "compare_gradients", "comparison", "estimators"
PICTURES = (*figures.FIGURES, *estimators_report.FIGURES)
FILES = ("comparison.md", "comparison.csv", "estimators.md", *(f"{name}.png" for name in PICTURES))
# What --quick gives to flags that are not given.
QUICK = {
    "networks": ["3", "10"],
    "batch_sizes": ["10", "100"],
    "dtypes": ["float32", "float64"],
    "time_limit": 0.4,
}
# Likewise --estimators, and the two together.
OF_ESTIMATORS = {
    "networks": ["100,100", "conv8x5/2,conv16x3/2"],
    "methods": list(ESTIMATORS),
    "activation": "tanh",
    "loss": "cross_entropy",
    "epochs": 10,
}
QUICK_OF_ESTIMATORS = {"networks": [], "train_size": 1000, "validation_size": 1000, "epochs": 2}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config()
    here: dict[str, Any] = {"module_name": "comparison"}
    networks = ["10", "100", "300", "1000", "3000"]
    meaning = "hidden layers of networks to compare too; none where --hidden is given"
    absl_flags.DEFINE_spaceseplist("networks", networks, meaning, **here)
    sizes = ["1", "10", "100", "1024"]
    absl_flags.DEFINE_list("batch_sizes", sizes, "images in a batch, to compare too", **here)
    absl_flags.DEFINE_list("methods", list(METHODS), "ways to a gradient", **here)
    meaning = "types to compute in; times are taken in the first possible"
    absl_flags.DEFINE_list("dtypes", list(DTYPES), meaning, **here)
    meaning = "mistake to put into back-propagation by hand and to train with; none: no mistake"
    absl_flags.DEFINE_enum("fault", "all", ["all", *FAULTS], meaning, **here)
    meaning = "leave a method out where one gradient is predicted to take longer, in seconds"
    absl_flags.DEFINE_float("time_limit", 5.0, meaning, 0.0, **here)
    meaning = "compare estimates of the gradient instead: what training by them comes to"
    absl_flags.DEFINE_bool("estimators", False, meaning, **here)
    meaning = "explain what jax.grad and XLA make of each equation instead"
    absl_flags.DEFINE_bool("explain", False, meaning, **here)
    absl_flags.DEFINE_string("page", None, "HTML file to explain it in; implies --explain", **here)
    absl_flags.DEFINE_bool("quick", False, "fewer and smaller: half a minute", **here)
    flags.define_workdir()
    records.define()


def among(name: str, known: Collection[str]) -> tuple[str, ...]:
    """The names that a list flag gives.

    Raises:
        ValueError: in one line, where one is not known or none is given.
    """
    names: list[str] = flags.FLAGS[name].value or []
    if not names or set(names) - set(known):
        raise ValueError(f"{name}={','.join(names)}: choose among {', '.join(known)}")
    return tuple(name for name in dict.fromkeys(names) if name != "autodiff")


def explain_network() -> None:
    """Prints what becomes of each equation of one network on one batch; --page writes a page."""
    with flags.user_errors(ValueError, OSError):
        config = dataclasses.replace(flags.config(), validation_size=0, shards=1)
        problem = make_problem(config, data.load(**config.data_settings))
        gradients.manual(problem.model, problem.loss)  # there must be one
        page = Path(flags.FLAGS.page).expanduser() if flags.FLAGS.page else None
        if page and (page.is_dir() or not page.parent.is_dir()):
            raise ValueError(f"page={page}: expected a file's name, in a folder that is there")
    methods = explain.explain(problem)
    print("\n".join(explained.answer(methods, problem)))
    if page:
        with flags.user_errors(OSError):
            write_atomically(page, explained.make(methods, problem).encode())
        print(f"page      {page}")


def main() -> None:
    values = flags.FLAGS
    if values.explain or values.page:
        return explain_network()
    if values.estimators:
        flags.put_defaults(OF_ESTIMATORS | (QUICK_OF_ESTIMATORS if values.quick else {}))
    elif values.quick:
        flags.put_defaults(QUICK)
    if not values["hidden"].using_default_value:
        flags.put_defaults({"networks": []})
    with flags.user_errors(ValueError, OSError):
        drawing.require()
        config = dataclasses.replace(flags.config(), shards=1)
        config = config if values.estimators else dataclasses.replace(config, validation_size=0)
        sizes = () if values.estimators else flags.whole_numbers("batch_sizes")
        places = points(config, values.networks, sizes)
        scope = Scope(
            methods=("autodiff", *among("methods", ESTIMATORS if values.estimators else METHODS)),
            dtypes=among("dtypes", DTYPES),
            faults={"all": tuple(FAULTS), NONE: ()}.get(values.fault, (values.fault,)),
            limit=values.time_limit,
            seconds=0.02 if values.quick else 0.1,
            epochs=1 if values.quick else 3,
            seeds=3 if values.quick else 5,
        )
        if values.estimators:
            if not config.validation_size or not all(place.hidden for place in places):
                raise ValueError("--estimators needs validation images, and hidden layers")
            jax.config.update("jax_num_cpu_devices", devices.cores())  # type: ignore[no-untyped-call]
        dataclasses.replace(config, seed=config.seed + scope.seeds - 1)  # the last must be one
        kind, told = (ESTIMATED, estimators_report) if values.estimators else (COMPARISON, report)
        directory = flags.workdir(kind)
        directories.check(directory, values.overwrite)
        splits = data.load(**config.data_settings)
        for place in places:
            check_memory(place, splits.image_shape, splits.num_classes)
        directories.clear(directory, values.overwrite, FILES)

    tables: dict[str, bytes] = {}
    if values.estimators:
        found: Any = estimators.find(places, scope.methods, splits, scope.seeds, scope.seconds)
        pictures = estimators_report.draw(found)
    else:
        found = compute(places, splits, scope)
        pictures, tables = figures.draw(found), {f"{kind}.csv": to_csv(found).encode()}
    seconds, device = time.perf_counter() - STARTED, jax.devices()[0].device_kind
    provenance = records.provenance(flags.command(NAME), seconds, device)
    print("\n".join(told.answer(found)))
    text = told.markdown(found, provenance, {name: f"{name}.png" for name in pictures})
    files = {f"{kind}.md": text.encode(), **tables}
    files |= {f"{name}.png": picture for name, picture in pictures.items()}
    for file, content in files.items():
        write_atomically(directory / file, content)
    print(f"files     {directory}: {', '.join(files)}")
    if values.record:
        given = [] if values["hidden"].using_default_value else map(str, config.hidden)
        record = "-".join([ESTIMATED if values.estimators else NAME, *given]).replace("/", "_")
        linked = {name: f"{record}-{name}.png" for name in pictures}
        written = records.write(record, told.markdown(found, provenance, linked), pictures)
        print(f"record    {written[0]}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
