"""Says which of several settings is better, by how much, and whether that is known.

usage: python -m experiments.compare_runs runs/a runs/b runs/c --figure=differences.png
       python -m experiments.compare_runs SWEEP --by=optimizer

RUN is a folder that experiments.train or experiments.sweep has written. Runs that differ only in
their seed are one setting; settings are compared seed by seed. With --by the values of these fields
are compared, each with its best values of the other fields by validation accuracy. Two
single runs are compared on the test images, one by one, by McNemar's test.
"""

from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from digits_jax import data, findings, statistics
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.reports import drawing
from digits_jax.results import FIELDS, Table, load_runs
from digits_jax.runs import identity, reading
from digits_jax.runs.files import write_atomically
from experiments.cli import entries, flags, script
from experiments.cli.flags import FLAGS
from experiments.sweeping import figures, summary


def define_flags() -> None:
    """Defines the flags of this script."""
    text = "fields whose values are compared; by default all that differ"
    absl_flags.DEFINE_list("by", [], text, module_name="comparison")
    text = "images on which settings are compared"
    absl_flags.DEFINE_enum("split", "test", findings.SPLITS, text, module_name="comparison")
    text = "PNG file for the paired differences"
    absl_flags.DEFINE_string("figure", None, text, module_name="run")
    absl_flags.DEFINE_string("data_dir", None, "folder with the data, if moved", module_name="run")


def splits_of(columns: Table, row: int) -> Splits:
    """The data of a run, checked to be those that it had.

    Raises:
        ValueError: in one line, where they are others, or cannot be read.
        OSError: likewise.
    """
    fields = [name for name in Config().data_settings if name in FIELDS]
    settings = {name: columns[name][row].item() or None for name in fields}
    settings |= {"validation_size": int(columns["validation_size"][row])}
    config = Config(**{k: v for k, v in settings.items() if v is not None})
    moved = {"data_dir": FLAGS.data_dir} if FLAGS.data_dir else {}
    splits = data.load(**config.data_settings | moved)
    if identity.data_sha256(splits)[:12] != columns["data"][row]:
        raise ValueError(
            f"{columns['folder'][row]}: its data have changed: name them by --data_dir"
        )
    return splits


def check_comparable(columns: Table) -> None:
    """Checks that all runs were scored on the same images.

    Raises:
        ValueError: in one line that names two runs, where they were not.
    """
    _, first = np.unique(columns["data"], return_index=True)
    if len(first) < 2:
        return
    a, *others = sorted(first.tolist())
    of_a = getattr(splits_of(columns, a), FLAGS.split)
    for b in others:
        of_b = getattr(splits_of(columns, b), FLAGS.split)
        if not all(np.array_equal(*pair) for pair in zip(of_a, of_b, strict=True)):
            raise ValueError(
                f"{columns['folder'][a]} and {columns['folder'][b]} cannot be compared: they were "
                f"scored on other {FLAGS.split} images"
            )


def varied(columns: Table) -> list[str]:
    """The fields that differ between runs; the folders, where no field does.

    Raises:
        ValueError: in one line, where `--by` names another.
    """
    names = [name for name in FIELDS if name not in ("seed", "data_dir")]
    differ = [name for name in names if len(set(columns[name].tolist())) > 1] or ["folder"]
    for name in FLAGS.by:
        if name not in differ:
            raise ValueError(f"by={name}: the runs differ in {', '.join(differ)}")
    return differ


def single_models(folders: list[str], columns: Table) -> str | None:
    """McNemar's test of two single runs, as a line to be printed; `None` for others."""
    if len(columns["run"]) != 2 or any(map(reading.is_sweep, map(Path, folders))):
        return None
    a, b = map(reading.read, map(Path, folders))
    splits = splits_of(columns, 0)
    right = [reading.predict(run.model, splits.test).correct for run in (a, b)]
    found = statistics.mcnemar(*right)
    return (
        f"on the same test images {a.name} alone is right on {found.only_a}, {b.name} alone on "
        f"{found.only_b}: p = {found.p:.2g} (McNemar), of these two models, not their settings"
    )


def main(folders: list[str]) -> None:
    with script.user_errors(ValueError, OSError):
        entries.load(folders)
        if FLAGS.figure:
            drawing.require()
        columns = load_runs(folders)
        check_comparable(columns)
        names = varied(columns)
        found = findings.find(columns, names, FLAGS.by or names, FLAGS.split)
        lines = [*summary.as_text(found), single_models(folders, columns)]
        if FLAGS.figure and found.verdict.comparisons:
            figure = figures.differences(found.verdict, found.split)
            write_atomically(Path(FLAGS.figure).expanduser(), drawing.png(figure))
            lines.append(f"figure   {FLAGS.figure}")
    flags.say(*filter(None, lines))


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="RUN [RUN ...]")
