"""MNIST with an eleventh class, what is no digit, and with ones and sevens as Europeans write them.

`python -m experiments.recognise --training_set=FOLDER` writes it; the network `cnn` of the package
was trained on it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from digits_jax import data
from experiments.recognition import non_digits

DIGITS = tuple("0123456789")
OTHER = "?"
# What the digits are: the last 10,000 training images of MNIST stay apart, for choices.
MNIST: dict[str, Any] = {"dataset": "mnist", "train_size": 50_000, "validation_size": 10_000}
# How many of each kind are added: more of those that finding digits comes across.
COUNTS = {
    "letters": 3000,
    "signs": 3000,
    "scribbles": 1500,
    "boxes": 400,
    "parts": 4000,
    "pairs": 3500,
    "turned": 2500,
    "ruled lines": 300,
}
ONES, SEVENS = 1500, 1000
SEED = 100


def write(folder: Path) -> str:
    """Writes the training set as `--data_dir` takes it; gives the flags that go with it.

    Training images are in random order, then come MNIST's last 10,000 for validation; the test
    images are MNIST's.

    Raises:
        OSError: if a file cannot be written.
    """
    splits = data.load(**MNIST)
    images, labels = [splits.train.images], [np.asarray(splits.train.labels)]
    added = [(kind, n, len(DIGITS)) for kind, n in COUNTS.items()]
    kinds = [(non_digits.KINDS[kind], n, label) for kind, n, label in added]
    kinds += [(non_digits.DIGITS[1], ONES, 1), (non_digits.DIGITS[7], SEVENS, 7)]
    for kind, n, label in kinds:
        images.append(non_digits.draw(kind, n, splits.train, seed=SEED))
        labels.append(np.full(n, label))
    order = np.random.default_rng(0).permutation(sum(map(len, labels)))
    folder.mkdir(parents=True, exist_ok=True)
    for part, a, b in (
        ("images", np.concatenate(images)[order], splits.validation.images),
        ("labels", np.concatenate(labels)[order].astype(np.int32), splits.validation.labels),
    ):
        np.save(folder / f"train_{part}.npy", np.concatenate([a, b]))
        np.save(folder / f"test_{part}.npy", getattr(splits.test, part))
    (folder / "labels.txt").write_text("\n".join([*DIGITS, OTHER, ""]))
    return f"--data_dir={folder} --train_size={len(order)} --validation_size=10000"
