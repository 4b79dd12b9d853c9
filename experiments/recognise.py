"""Reads the digits of pictures: photos, scans, drawings.

Prints a line a picture: its path, a tab, its digits in reading order, " / " between lines, "?"
where the network is not sure. A picture without digits, or that cannot be read, gets a line on
stderr; the others are read all the same, and the exit status is 1.

usage: python -m experiments.recognise PICTURE [PICTURE ...] [--page=seen.html] [--csv=digits.csv]
       python -m experiments.recognise --labels=labels.csv [--record]
PICTURE is a JPEG, PNG, WebP, TIFF, BMP or GIF file, or - for standard input. labels.csv has the
columns file (beside it), digits and maybe kind: the pictures are scored by kind, wrong ones listed.
"""

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from absl import flags as absl_flags

from digits_jax import recognition
from digits_jax.recognition.recognise import Seen
from digits_jax.runs.files import write_atomically
from experiments.cli import entries, records, script
from experiments.cli.flags import FLAGS

COLUMNS = ("file", "line", "position", "label", "probability", "x", "y", "width", "height")

# By what an earlier result is known, which is replaced.
STARTS = {"page": b"<!doctype html>", "csv": ",".join(COLUMNS).encode()}


def define_flags() -> None:
    """Defines the flags of reading."""
    for name, default, text in (
        ("model", "cnn", "the network of the package that reads: cnn or classic"),
        ("run", None, "a run of one's own that reads instead: the folder"),
        ("page", None, "an HTML page that shows what was found and read"),
        ("csv", None, "a CSV file with a row a digit"),
        ("labels", None, "a CSV file with the digits of pictures, which are scored"),
        ("training_set", None, "write the training set of the network cnn into this new folder"),
        ("ship", None, "put --run into the package, under this name; needs --labels"),
    ):
        absl_flags.DEFINE_string(name, default, text, module_name="run")
    absl_flags.DEFINE_boolean(
        "numbers", False, "join the digits of a line to numbers, with . - /", module_name="run"
    )
    records.define()


def rows(seen: Seen) -> Iterable[tuple[object, ...]]:
    """A row of `COLUMNS` for each digit of a picture."""
    # A spreadsheet takes what begins so for a formula.
    name = f"'{seen.name}" if seen.name[:1] in tuple("=+-@") else seen.name
    counts: dict[int, int] = {}
    for d in seen.digits:
        counts[d.line] = counts.get(d.line, 0) + 1
        yield name, d.line + 1, counts[d.line], d.label, f"{d.probability:.6f}", *d.box


def check_outputs() -> None:
    """Checks, before the work begins, that there is a place for its results."""
    for name in ("page", "csv"):
        path = Path(FLAGS[name].value or "page").expanduser()
        if (path.exists() and not path.is_file()) or not path.parent.is_dir():
            raise ValueError(f"{name}={path}: expected a file's name, in a folder that is there")
        if FLAGS[name].value and path.exists():
            with open(path, "rb") as file:
                if file.read(15) not in (b"", STARTS[name][:15]):
                    raise ValueError(
                        f"{name}={path}: exists and is not a result of this script; choose another"
                    )


def main(pictures: list[str]) -> int:
    run = other = splits = None
    labelled: list[tuple[str, str, str]] = []
    with script.user_errors(ValueError, OSError):
        if FLAGS.training_set:
            from experiments.recognition import training_set

            print(training_set.write(Path(FLAGS.training_set).expanduser()))
            return 0
        if not pictures and not FLAGS.labels:
            raise ValueError("expected PICTURE [PICTURE ...], or --labels")
        if FLAGS.ship and not (FLAGS.run and FLAGS.labels):
            raise ValueError(f"ship={FLAGS.ship}: needs --run and --labels")
        check_outputs()
        entries.load([FLAGS.run] if FLAGS.run else [])
        if FLAGS.labels:
            from experiments.recognition.scoring import read_labels, score

            labelled = read_labels(Path(FLAGS.labels).expanduser())
        if FLAGS.run:
            from experiments.recognition.calibration import of_run

            run, reader, splits, other = of_run(Path(FLAGS.run).expanduser())
        else:
            reader = recognition.reader(FLAGS.model)
    seen = []
    for picture in recognition.look([*(path for path, *_ in labelled), *pictures], reader):
        seen.append(picture)
        for text in filter(None, (picture.error and f"error: {picture.error}", picture.note)):
            print(text, file=sys.stderr)
        if not picture.error and len(seen) > len(labelled):
            text = recognition.as_text(picture.digits)
            said = recognition.as_numbers(picture) if FLAGS.numbers else text
            print(f"{picture.name}\t{said}", flush=True)
    if labelled:
        from experiments.recognition import record

        scores, wrong = score(labelled, seen[: len(labelled)])
        for name, text, truth in wrong:
            print(f"wrong: {name}\t{text}\texpected {truth}")
        print(record.table(scores))
    with script.user_errors(OSError):
        if FLAGS.ship and run and splits:
            from experiments.recognition import shipping

            print(shipping.ship(FLAGS.ship, run, reader, splits, other, scores))
        if FLAGS.record:
            print(record.write(Path(FLAGS.labels).expanduser()))
        if FLAGS.csv:
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows(
                [COLUMNS, *(r for s in seen for r in rows(s))]
            )
            write_atomically(Path(FLAGS.csv).expanduser(), table.getvalue().encode())
        if FLAGS.page:
            from experiments.recognition import page

            write_atomically(Path(FLAGS.page).expanduser(), page.make(seen).encode())
    return int(any(picture.error for picture in seen[len(labelled) :]))


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="[PICTURE ...]")
