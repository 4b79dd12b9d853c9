"""What is read of pictures whose digits are known, by every network of the package, on record."""

import time
from pathlib import Path

import jax

from digits_jax import data
from digits_jax.recognition import look, reader, shipped
from digits_jax.runs import model_file
from experiments import STARTED
from experiments.cli import records
from experiments.recognition import calibration, non_digits
from experiments.recognition.scoring import Score, read_labels, score

NAMES = ("cnn", "classic")
HEADER = (
    "pictures", "number", "digits", "right", "wrong", "?", "missed", "invented",
    "accuracy", "accuracy without `?`",
)  # fmt: skip


def table(scores: dict[str, Score]) -> str:
    """A row for each kind of picture, all of them last."""
    return records.table(
        HEADER,
        [
            [kind, *s[:7], s.accuracy, s.sure_accuracy]
            for kind, s in sorted(scores.items(), key=lambda item: (item[0] == "all", item[0]))
        ],
    )


def write(labels: Path) -> Path:
    """Scores the networks of the package, and how well each knows when it is not sure.

    Raises:
        ValueError: as `score`.
        OSError: where a file cannot be read or written.
    """
    parts = []
    rows = read_labels(labels)
    for name in NAMES:
        scores, _ = score(rows, list(look([path for path, *_ in rows], reader(name))))
        config = model_file.load(shipped(name)).config
        certainty = calibration.measure(reader(name), data.load(**config.data_settings))
        aurocs = records.table(
            ["score", "all", *non_digits.KINDS],
            [[row, *(f"{a:.3f}" for a in values)] for row, values in certainty.aurocs.items()],
        )
        parts += [
            f"## {name}",
            table(scores),
            f"The threshold of similarity refuses {certainty.refused_digits:.2%} of the validation "
            f"images and {certainty.refused_others:.0%} of non-digits.",
            aurocs,
        ]
    command = f"python -m experiments.recognise --labels={labels} --record"
    seconds = time.perf_counter() - STARTED
    where = records.provenance(command, seconds, jax.devices()[0].device_kind, PACKAGES)
    text = "\n\n".join(["# What is read of pictures", where, ABOUT, *parts]) + "\n"
    return records.write("recognition", text, {})[0]


PACKAGES = (*records.PACKAGES, "scipy", "pillow")
ABOUT = """\
Errors are edit distances: a wrong, a missed and an invented digit are one each. Accuracy is one
minus their sum over the number of digits; a `?` counts as missed, and without `?` its likeliest
class stands for it. The pictures served development.

Below, by network: how well scores tell the 10,000 validation images from things that are no digits,
1,000 of each kind, as the area under the ROC curve (0.5: not at all, 1: always). The largest
softmax, energy and similarity (the cosine between the last hidden layer and the nearest of eight
means of the predicted class) take one pass through the network; a committee is the image and four
that are moved by a pixel and takes five. Certainty decides about `?`: it is similarity times the
probability that it is a digit at all, from a network that has learned what else there is."""
