"""Makes one HTML page of runs: summary, learning curves, mistakes, weights, calibration.

The page holds all it shows and asks no other host for anything. Runs that differ only in their seed
are drawn as one curve with their spread; the first of them is shown in detail.

With --record=NAME the accuracies, of each run and of all of a setting together, are also put into
experiments/records.

usage: python -m experiments.report RUN [RUN ...] [--output=report.html] [--figures_dir=FOLDER]
RUN is a folder that experiments.train has written, finished or not, or experiments.sweep.
"""

import shlex
from pathlib import Path

import jax
import numpy as np
from absl import flags as absl_flags

from digits_jax import data, reports
from digits_jax.reports import drawing
from digits_jax.runs import reading
from digits_jax.runs.files import write_atomically
from digits_jax.statistics import describe
from experiments.cli import entries, flags, records, script

HEADER = (
    "n",
    "test accuracy",
    "least",
    "greatest",
    "all together",
    "parameters of each",
    "seconds of training each",
)


def define_flags() -> None:
    """Defines the flags of this script."""
    text = "file to write; an earlier report of that name is replaced"
    absl_flags.DEFINE_string("output", "report.html", text, module_name="run")
    text = "the runs' data, if they have moved (or --data)"
    absl_flags.DEFINE_string("data_dir", None, text, module_name="run")
    text = "folder for the figures as PNG files"
    absl_flags.DEFINE_string("figures_dir", None, text, module_name="run")
    records.define_named()


def check_outputs(page: Path, folder: Path | None) -> None:
    """Checks, before the work begins, that there is a place for its results.

    Raises:
        ValueError: in one line, where there is none.
    """
    if page.is_dir():
        raise ValueError(f"output={page}: is a folder, expected the name of a file")
    if not page.parent.is_dir():
        raise ValueError(f"output={page}: no such folder as {page.parent}")
    if page.exists() and not (page.is_file() and page.read_bytes().startswith(b"<!doctype html>")):
        raise ValueError(f"output={page}: exists and is not a report: choose another name")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"figures_dir={folder}: is not a folder")


def record(name: str, runs: list[str]) -> Path:
    """Puts on record what the runs of each setting reach, alone and as a committee."""
    moved = flags.FLAGS.data_dir
    blocks = []
    for group in reading.group(reading.read_all(runs)):
        run, members = group.runs[0], group.runs
        splits = data.load(**run.config.data_settings | ({"data_dir": moved} if moved else {}))
        together = reading.committee([m.model for m in members], splits.test)
        accuracy, seconds = (
            [m.summary[figure] for m in members] for figure in ("test_accuracy", "train_seconds")
        )
        over_seeds = describe(accuracy)
        row = (
            len(members),
            records.accuracy(over_seeds["mean"], over_seeds["std"]),
            *(records.accuracy(over_seeds[extreme]) for extreme in ("min", "max")),
            records.accuracy(np.mean(together.correct)),
            f"{run.summary['parameters']:,}",
            f"{np.mean(seconds):.0f}",
        )
        of_seeds = ", ".join(str(m.config.seed) for m in members)
        blocks += [
            f"Seeds {of_seeds}. {records.settings(run.config)}",
            records.table(HEADER, [row]),
        ]
    about = (
        "Accuracy on the test images of each run by itself, mean ± standard deviation, and of all "
        "together, by the mean of their probabilities; the time of training is what the runs say."
    )
    given = [*runs, *([f"--data_dir={moved}"] if moved else []), f"--record={name}"]
    command = shlex.join(["python", "-m", "experiments.report", *given])
    kind = jax.devices()[0].device_kind
    where = records.provenance(command, None, kind)
    return records.write(name, "\n\n".join([f"# {name}", where, about, *blocks]) + "\n", {})[0]


def main(runs: list[str]) -> None:
    with script.user_errors(ValueError, OSError):
        entries.load(runs)
        page = Path(flags.FLAGS.output).expanduser()
        folder = (
            None if flags.FLAGS.figures_dir is None else Path(flags.FLAGS.figures_dir).expanduser()
        )
        check_outputs(page, folder)
        report = reports.make(runs, flags.FLAGS.data_dir)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, figure in report.figures.items():
                write_atomically(folder / f"{name}.png", drawing.png(figure))
        content = report.html.encode()
        write_atomically(page, content)
        recorded = flags.FLAGS.record and record(flags.FLAGS.record, runs)
    for warning in report.warnings:
        flags.warn(warning)
    flags.say(f"{page}: runs {len(runs)}, figures {len(report.figures)}, bytes {len(content):,}")
    if folder is not None:
        flags.say(f"{folder}: {len(report.figures)} PNG files")
    if recorded:
        print(f"record {recorded}")


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="RUN [RUN ...]")
