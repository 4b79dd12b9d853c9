"""Compares estimates of the gradient with the gradient: what training by them comes to.

Trains by feedback alignment, direct feedback alignment, forward gradient and evolution, each with
the learning rate that is best for it on validation images: accuracy after each epoch, the angle to
the gradient, the price of a step. Where flags do not say otherwise, three networks with tanh and
cross-entropy are trained for ten epochs, which takes a quarter of an hour. Writes estimators.md and
two figures.

usage: python -m experiments.compare_estimators [--quick] [--methods=NAME,NAME] [--flag=value ...]
"""

import dataclasses
import time
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax import data
from digits_jax.estimators import ESTIMATORS
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from digits_jax.runs.identity import usable_cores
from digits_jax.runs.programs import check_memory
from experiments import STARTED
from experiments.cli import flags, records, script
from experiments.comparison import estimators, estimators_report
from experiments.comparison.problem import points

NAME, ESTIMATED = "compare_estimators", "estimators"
FILES = ("estimators.md", *(f"{name}.png" for name in estimators_report.FIGURES))
# What this script gives to flags that are not given; and what --quick does.
OWN = {"activation": "tanh", "loss": "cross_entropy", "epochs": 10}
QUICK = {"networks": [], "train_size": 1000, "validation_size": 1000, "epochs": 2}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config()
    here: dict[str, Any] = {"module_name": "comparison"}
    networks = ["100,100", "conv8x5/2,conv16x3/2"]
    meaning = "hidden layers of further networks; none if --hidden is given"
    absl_flags.DEFINE_spaceseplist("networks", networks, meaning, **here)
    absl_flags.DEFINE_list("methods", list(ESTIMATORS), "estimates to train by", **here)
    absl_flags.DEFINE_bool("quick", False, "one network, 1,000 images, two epochs", **here)
    flags.define_workdir()
    records.define()


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    flags.put_defaults(OWN)
    if not values["hidden"].using_default_value:
        flags.put_defaults({"networks": []})
    seeds, seconds = (3, 0.02) if values.quick else (5, 0.1)
    with script.user_errors(ValueError, OSError):
        drawing.require()
        jax.config.update("jax_num_cpu_devices", usable_cores())  # type: ignore[no-untyped-call]
        config = dataclasses.replace(flags.config(), shards=1)
        places = points(config, values.networks, ())
        methods = values.methods or []
        if not methods or set(methods) - set(ESTIMATORS):
            known = ", ".join(ESTIMATORS)
            raise ValueError(f"methods={','.join(methods)}: choose among {known}")
        if not config.validation_size or not all(place.hidden for place in places):
            raise ValueError("comparing estimators needs validation images and hidden layers")
        dataclasses.replace(config, seed=config.seed + seeds - 1)  # the last must be one
        directory = flags.workdir(ESTIMATED)
        directories.check(directory, values.overwrite)
        splits = data.load(**config.data_settings)
        for place in places:
            check_memory(place, splits.image_shape, splits.num_classes)
        directories.clear(directory, values.overwrite, FILES)

    every = ("autodiff", *dict.fromkeys(methods))
    found = estimators.find(places, every, splits, seeds, seconds)
    pictures = estimators_report.draw(found)
    took, device = time.perf_counter() - STARTED, jax.devices()[0].device_kind
    provenance = records.provenance(flags.command(NAME), took, device)
    print("\n".join(estimators_report.answer(found)))
    linked = {name: f"{name}.png" for name in pictures}
    text = estimators_report.markdown(found, provenance, linked)
    write_atomically(directory / "estimators.md", text.encode())
    for name, picture in pictures.items():
        write_atomically(directory / f"{name}.png", picture)
    print(f"files     {directory}: {', '.join(['estimators.md', *linked.values()])}")
    if values.record:
        given = [] if values["hidden"].using_default_value else map(str, config.hidden)
        record = "-".join([ESTIMATED, *given]).replace("/", "_")
        linked = {name: f"{record}-{name}.png" for name in pictures}
        text = estimators_report.markdown(found, provenance, linked)
        print(f"record    {records.write(record, text, pictures)[0]}")


if __name__ == "__main__":
    define_flags()
    script.run(main)
