"""Explains what `jax.grad` and XLA make of each equation of back-propagation.

For each equation: the expression that computes it by hand, the equations of the jaxpr of jax.grad
that do the same, the instructions of both optimised programs, and the numbers, with a tick where
both agree. --page writes it as one HTML page in two columns.

usage: python -m experiments.explain_gradients [--page=FILE] [--flag=value ...]
"""

import dataclasses
from pathlib import Path

from absl import flags as absl_flags

from digits_jax import data, gradients
from digits_jax.runs.files import write_atomically
from experiments.cli import flags, script
from experiments.comparison import explain, explained
from experiments.comparison.problem import make_problem


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config()
    text = "HTML file to write the explanation to"
    absl_flags.DEFINE_string("page", None, text, module_name="comparison")


def main() -> None:
    with script.user_errors(ValueError, OSError):
        config = dataclasses.replace(flags.config(), validation_size=0, shards=1)
        problem = make_problem(config, data.load(**config.data_settings))
        gradients.manual(problem.model, problem.loss)  # there must be one
        target = Path(flags.FLAGS.page).expanduser() if flags.FLAGS.page else None
        if target and (target.is_dir() or not target.parent.is_dir()):
            raise ValueError(f"page={target}: expected the name of a file in an existing folder")
    methods = explain.explain(problem)
    print("\n".join(explained.answer(methods, problem)))
    if target:
        with script.user_errors(OSError):
            write_atomically(target, explained.make(methods, problem).encode())
        print(f"page      {target}")


if __name__ == "__main__":
    define_flags()
    script.run(main)
