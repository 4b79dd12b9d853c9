"""Writes what the model of a run says about images.

usage: python -m experiments.predict RUN DATA --csv=predictions.csv

DATA is a data file or a folder, as --data_dir of experiments.train takes it, or a file that holds
images alone. The table has a row an image: index, label if there is one, class, and the probability
of each class.
"""

import csv
import io
from pathlib import Path

import numpy as np
from absl import flags as absl_flags

from digits_jax import predictions
from digits_jax.runs import reading
from digits_jax.runs.files import write_atomically
from experiments.cli import entries, flags, script
from experiments.cli.flags import FLAGS


def main(arguments: list[str]) -> None:
    with script.user_errors(ValueError, OSError):
        if len(arguments) != 2:
            raise ValueError("expected RUN DATA, as in runs/mine photos.npy")
        entries.load(arguments[:1])
        run = reading.read(Path(arguments[0]).expanduser())
        images, labels = predictions.read_images(Path(arguments[1]).expanduser())
        columns = predictions.predict(run.model, images)
        if labels is not None:
            columns = {"index": columns.pop("index"), "label": labels, **columns}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        for row in rows:
            writer.writerow(f"{each:.6g}" if isinstance(each, float) else each for each in row)
        path = Path(FLAGS.csv).expanduser()
        write_atomically(path, text.getvalue().encode())
    right = ""
    if labels is not None and labels.dtype.kind in "iu":
        right = f", {np.mean(labels == columns['class']):.2%} as labelled"
    flags.say(f"{path}: {len(images):,} images{right}")


def define_flags() -> None:
    """Defines the flags of this script."""
    text = "file to write; an earlier one of that name is replaced"
    absl_flags.DEFINE_string("csv", "predictions.csv", text, module_name="run")


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="RUN DATA")
