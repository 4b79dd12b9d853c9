"""Compares automatic differentiation with back-propagation by hand: what it gives, what it costs.

Exactness, the course of training, the compiled programs, time and source of every way to a
gradient, and which check catches which mistake in back-propagation. Writes comparison.md,
comparison.csv and figures. Without flags it takes some minutes, with --quick half a minute.

usage: python -m experiments.compare_gradients [--quick] [--fault=NAME] [--flag=value ...]
"""

import dataclasses
import time

from absl import flags as absl_flags

from digits_jax import data
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments import STARTED
from experiments.cli import flags
from experiments.comparison import figures, problem, report, tables
from experiments.comparison.faults import FAULTS, NONE
from experiments.comparison.methods import DTYPES, METHODS

CONFIG_FLAGS = (
    "dataset",
    "data_dir",
    "train_size",
    "hidden",
    "activation",
    "init",
    "init_scale",
    "loss",
    "learning_rate",
    "batch_size",
    "seed",
)
FILES = ("comparison.md", "comparison.csv", *figures.FILES)
# What --quick gives to flags that are not given.
QUICK = {
    "hidden_sizes": ["3", "10", "30"],
    "depths": ["1", "2"],
    "batch_sizes": ["10", "100"],
    "dtypes": ["float32", "float64"],
    "time_limit": 0.4,
}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config(*CONFIG_FLAGS)
    lists = {
        "hidden_sizes": (["10", "30", "100", "300", "1000", "3000"], "widths of one hidden layer"),
        "depths": (["1", "2", "4", "8"], "numbers of hidden layers"),
        "batch_sizes": (["1", "10", "100", "1024"], "images in a batch"),
        "methods": (list(METHODS), "ways to a gradient"),
        "dtypes": (list(DTYPES), "types to compute in; times are taken in the first possible"),
    }
    for name, (default, help) in lists.items():
        absl_flags.DEFINE_list(name, default, help, module_name="comparison")
    absl_flags.DEFINE_enum(
        "fault",
        "all",
        ["all", NONE, *FAULTS],
        "mistake to put into a copy of the manual gradient and to train with",
        module_name="comparison",
    )
    help = "leave a method out where one gradient is predicted to take longer, in seconds"
    absl_flags.DEFINE_float("time_limit", 5.0, help, 0.0, module_name="comparison")
    help = "fewer and smaller: half a minute"
    absl_flags.DEFINE_bool("quick", False, help, module_name="comparison")
    flags.define_workdir()


def settings() -> tables.Settings:
    """What the flags ask for.

    Raises:
        ValueError: in one line, where a name is not known.
    """
    values = flags.FLAGS
    tables.check(values.methods, values.dtypes)
    chosen = {"all": tuple(FAULTS), NONE: ()}.get(values.fault, (values.fault,))
    return tables.Settings(
        methods=tuple(dict.fromkeys(values.methods)),
        dtypes=tuple(dict.fromkeys(values.dtypes)),
        faults=chosen,
        limit=values.time_limit,
        seconds=0.02 if values.quick else 0.1,
        epochs=1 if values.quick else 3,
        seeds=3 if values.quick else 5,
    )


def main() -> None:
    values = flags.FLAGS
    if values.quick:
        flags.put_defaults(QUICK)
    with flags.user_errors(ValueError, OSError):
        drawing.require()
        config = dataclasses.replace(flags.config(), validation_size=0)
        sweeps = problem.make_sweeps(
            config, *map(flags.whole_numbers, ("hidden_sizes", "depths", "batch_sizes"))
        )
        chosen = settings()
        dataclasses.replace(config, seed=config.seed + chosen.seeds - 1)  # the last must be one
        directory = flags.workdir("comparison")
        directories.check(directory, values.overwrite)
        splits = data.load(**config.data_settings)
        directories.clear(directory, values.overwrite, FILES)

    found = tables.compute(config, splits, sweeps, chosen)
    pictures = figures.draw(found, sweeps, (found.cost[0].network, config.batch_size))
    text = report.markdown(found, flags.command("compare_gradients"), time.perf_counter() - STARTED)
    print(text)
    with flags.user_errors(OSError):
        write_atomically(directory / "comparison.md", text.encode())
        write_atomically(directory / "comparison.csv", tables.to_csv(found).encode())
        for name, picture in pictures.items():
            write_atomically(directory / name, picture)
    print(f"files  {directory}: {', '.join(['comparison.md', 'comparison.csv', *pictures])}")


if __name__ == "__main__":
    define_flags()
    flags.run(main)
