"""Looks at a data set before anything is trained on it: a data card and a contact sheet.

The card holds counts, sizes, classes, grey levels and the SHA-256 that runs on all of it record;
what looks wrong is said on stderr. The sheet is a picture with ten training images of each class.

usage: python -m experiments.inspect_data PATH [--sheet=FILE.png]
       python -m experiments.inspect_data PATH --label_noise=0.1 --changed=FILE.csv
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags as absl_flags

from digits_jax import data
from digits_jax.data import Splits
from digits_jax.runs.identity import data_sha256
from experiments.cli import flags, script
from experiments.cli.flags import FLAGS

SHOWN = 10  # images of a class on the contact sheet
CHANGES = ("invert", "transpose", "image_size", "label_noise", "label_noise_seed")


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.define_config(*CHANGES)
    text = "picture to write; an earlier one of that name is replaced"
    absl_flags.DEFINE_string("sheet", "contact_sheet.png", text, module_name="run")
    text = "CSV file to write: the training labels that label_noise changed"
    absl_flags.DEFINE_string("changed", None, text, module_name="run")


def card(splits: Splits) -> str:
    """What a data set holds: images, grey levels, and the number of images of each class."""
    train, _, test, num_classes, names = splits
    height, width = splits.image_shape
    levels = np.percentile(train.images, [0, 50, 90, 100]).round().astype(int)
    counts = [np.bincount(part.labels, minlength=num_classes) for part in (train, test)]
    column, n, mean = max(5, *map(len, names)), len(train.labels), train.images.mean()
    return "\n".join(
        [
            f"images   {n:,} training, {len(test.labels):,} test, {height} x {width}",
            f"pixels   mean {mean:.1f}, standard deviation {train.images.std():.1f}, "
            "minimum {}, median {}, 90 % below {}, maximum {}".format(*levels),
            f"SHA-256  {data_sha256(splits)}",
            f"\n{'class':{column}}  training      test",
            *(f"{n:{column}} {a:9,} {b:9,}" for n, a, b in zip(names, *counts, strict=True)),
        ]
    )


def contact_sheet(splits: Splits) -> np.ndarray:
    """The first ten training images of each class, a class a row, on grey."""
    height, width = splits.image_shape
    sheet = np.full((splits.num_classes * (height + 1), SHOWN * (width + 1)), 96, np.uint8)
    for label in range(splits.num_classes):
        for i, image in enumerate(splits.train.images[splits.train.labels == label][:SHOWN]):
            top, left = label * (height + 1), i * (width + 1)
            sheet[top : top + height, left : left + width] = image
    return sheet


def write_changed(path: Path, before: np.ndarray, after: np.ndarray) -> int:
    """Writes a row for each label that noise changed, and returns how many there are."""
    rows = np.flatnonzero(before != after)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["image", "label", "changed_to"])
        csv.writer(file).writerows(np.stack([rows, before[rows], after[rows]], axis=1).tolist())
    return len(rows)


def main(arguments: list[str]) -> None:
    from PIL import Image

    with script.user_errors(ValueError):
        if len(arguments) != 1:
            raise ValueError(f"{len(arguments)} paths: expected one file or folder")
        size: dict[str, Any] = {
            "train_size": data.count(data_dir=arguments[0]),
            "validation_size": 0,
        }
        changes: dict[str, Any] = {name: FLAGS[name].value for name in CHANGES}
        splits = data.load(data_dir=arguments[0], **size, **changes)
    print(card(splits))
    Image.fromarray(contact_sheet(splits)).save(FLAGS.sheet, "PNG")
    print(f"\nsheet    {FLAGS.sheet}")
    if FLAGS.changed:
        changes["label_noise"] = 0.0
        before = data.load(data_dir=arguments[0], **size, **changes).train.labels
        number = write_changed(Path(FLAGS.changed), before, splits.train.labels)
        print(f"changed  {number:,} of {len(before):,} training labels, listed in {FLAGS.changed}")


if __name__ == "__main__":
    define_flags()
    script.run(main, arguments="PATH")
