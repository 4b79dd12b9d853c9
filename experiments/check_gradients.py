"""Checks gradients, pullbacks and derivatives by hand, and names the mistake where one is wrong.

Of a file of your own it checks all that the file adds to a table or changes there; with flags, what
they name; without either, every entry of every table of this package. Each pullback is compared by
itself with reverse mode of its own forward, in float64, on several small shapes; a whole gradient,
array by array, on the classic network and on one with two hidden layers. The exit status is 0 if
everything that has a derivative by hand is right, and 1 if not.

usage: python -m experiments.check_gradients [mine.py ...] [--json] [--page=FILE]
       python -m experiments.check_gradients --gradients=NAME --hidden=conv8,30 --activation=tanh
       python -m experiments.check_gradients --new=dense
The last writes an exercise: a file that lacks a pullback (of any layer), or the derivative of an
activation or a loss, or a gradient.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from digits_jax import checking, gradients, layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.checking import Checked
from digits_jax.gradients import GRADIENTS
from digits_jax.layers import WORDS
from digits_jax.losses import LOSSES
from digits_jax.runs.files import write_atomically
from digits_jax.training import make_model
from experiments.checking import exercises, page
from experiments.cli import entries, flags, progress, script
from experiments.cli.flags import FLAGS

TABLES: dict[str, Any] = {
    "layer": WORDS,
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "gradient": GRADIENTS,
}
NAMED = ("hidden", "activation", "loss", "gradients")
SHAPE, CLASSES = (28, 28), 10
Check = tuple[str, Callable[[], Checked]]


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config(*NAMED)
    about: dict[str, Any] = {"module_name": "comparison"}
    absl_flags.DEFINE_bool("json", False, "print what was found as JSON", **about)
    text = "HTML file that shows each array beside the right one and their difference"
    absl_flags.DEFINE_string("page", None, text, **about)
    text = "write an exercise: a layer such as dense, or activation, loss, gradient"
    absl_flags.DEFINE_string("new", None, text, **about)


def of_entry(table: str, name: str, entry: Any) -> Check:
    """The check of one entry of a table."""
    if table == "activation":
        return name, lambda: checking.check_activation(entry, name)
    if table == "loss":
        return name, lambda: checking.check_loss(entry, name)
    if table == "gradient":
        return name, lambda: checking.check_gradient(entry, name=name)
    made = exercises.example(name, entry)
    return made.kind, lambda: checking.check_layer(made)


def of_flags() -> Iterator[Check]:
    """What the flags name: each entry, and the whole gradient of the network that they describe."""
    config = flags.config()
    if FLAGS["activation"].present:
        yield of_entry("activation", config.activation, ACTIVATIONS[config.activation])
    if FLAGS["loss"].present:
        yield of_entry("loss", config.loss, LOSSES[config.loss])
    if FLAGS["hidden"].present:
        for layer in layers.parse(config.hidden):
            yield layer.kind, lambda layer=layer: checking.check_layer(layer)  # type: ignore[misc]
    name = config.gradients if FLAGS["gradients"].present else "manual"
    if name not in GRADIENTS:
        raise ValueError(f"gradients={name}: an estimate; choose one of {', '.join(GRADIENTS)}")
    if name == "manual" and (
        missing := gradients.underived(make_model(config, SHAPE, CLASSES).layers)
    ):
        raise ValueError(f"gradients=manual: {missing} has no derivative written by hand")
    network = make_model(config, SHAPE, CLASSES), LOSSES[config.loss], SHAPE, CLASSES
    yield name, lambda: checking.check_gradient(GRADIENTS[name], *network, name)


def chosen(files: list[str]) -> list[Check]:
    """What is to be checked.

    Raises:
        ValueError: in one line, if there is nothing, or a file cannot be imported.
    """
    FLAGS[entries.NAME].value = [*entries.given(), *files]
    before = {table: dict(of) for table, of in TABLES.items()}
    entries.load()
    changed = [
        (table, name, entry)
        for table, of in TABLES.items()
        for name, entry in of.items()
        if before[table].get(name) is not entry
    ]
    if any(FLAGS[name].present for name in NAMED):
        return list(of_flags())
    if entries.given() and not changed:
        raise ValueError(f"{', '.join(entries.paths())}: adds no entry to any table")
    every = changed or [(table, *item) for table, of in TABLES.items() for item in of.items()]
    return [of_entry(*item) for item in every]


def lines(checked: Checked, short: bool) -> Iterator[str]:
    """What was found of an entry: one line if that is enough."""
    if short and not checked.wrong:
        arrays = ", ".join(dict.fromkeys(finding.array for finding in checked.findings))
        far = max((finding.error for finding in checked.findings), default=0.0)
        said = f"{arrays}: within {far:.0e}" if arrays else "; ".join(checked.notes)
        yield f"{'right' if checked.ok else '-----'}  {checked.name:<16} {said}"
        return
    yield from map(str, checked.findings)
    yield from (f"-----  {checked.name}: {note}" for note in checked.notes)


def as_json(found: list[Checked]) -> str:
    """The findings without their arrays."""
    fields = ("where", "array", "equation", "ok", "error", "message")
    each = [
        {
            "name": checked.name,
            "ok": checked.ok,
            "findings": [
                {name: getattr(finding, name) for name in fields}
                | {"error": min(finding.error, 1e308)}
                for finding in checked.findings
            ],
            "notes": checked.notes,
        }
        for checked in found
    ]
    return json.dumps({"ok": not any(c.wrong for c in found), "entries": each}, indent=2)


def main(files: list[str]) -> int:
    with script.user_errors(ValueError, OSError):
        if FLAGS.new:
            print(exercises.write(FLAGS.new))
            return 0
        target = Path(FLAGS.page).expanduser() if FLAGS.page else None
        if target and (target.is_dir() or not target.parent.is_dir()):
            raise ValueError(f"page={target}: expected the name of a file in an existing folder")
        checks = chosen(files)
    found = []
    with (
        progress.shown("entry", len(checks), 0, quiet=False) as advance,
        ThreadPoolExecutor(os.cpu_count()) as pool,  # most of a check is compilation
    ):
        for checked in pool.map(lambda check: check[1](), checks):
            found.append(checked)
            advance(1, checked.name)
            if not FLAGS.json:
                print("\n".join(lines(checked, short=len(checks) > 3)), flush=True)
    if FLAGS.json:
        print(as_json(found))
    if target:
        write_atomically(target, page.make(found).encode())
        print(f"page   {target}")
    return int(any(checked.wrong for checked in found))


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="[FILE ...]")
