"""Makes one HTML page of runs: summary, learning curves, mistakes, weights, calibration.

The page holds all it shows and asks no other host for anything. Runs that differ only in their seed
are drawn as one curve with their spread; the first of them is shown in detail.

usage: python -m experiments.report RUN [RUN ...] [--output=report.html] [--figures_dir=FOLDER]
RUN is a folder that experiments.train has written, finished or not, or experiments.sweep.
"""

import sys
from pathlib import Path

from digits_jax import reports
from digits_jax.runs.files import write_atomically
from experiments.cli import flags


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
        raise ValueError(f"output={page}: is there and no report: choose another name")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"figures_dir={folder}: is not a folder")


def main(runs: list[str]) -> None:
    with flags.user_errors(ValueError, OSError):
        page = Path(flags.FLAGS.output).expanduser()
        folder = (
            None if flags.FLAGS.figures_dir is None else Path(flags.FLAGS.figures_dir).expanduser()
        )
        check_outputs(page, folder)
        report = reports.make(runs, flags.FLAGS.data_dir)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, png in report.figures.items():
                write_atomically(folder / f"{name}.png", png)
        content = report.html.encode()
        write_atomically(page, content)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{page}: runs {len(runs)}, figures {len(report.figures)}, bytes {len(content):,}")
    if folder is not None:
        print(f"{folder}: {len(report.figures)} PNG files")


if __name__ == "__main__":
    flags.define_report()
    flags.run(main, arguments="RUN [RUN ...]")
