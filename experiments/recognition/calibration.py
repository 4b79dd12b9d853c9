"""What a network needs to know when it is not sure: class means, and from which score on it is."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, UInt8

from digits_jax import data
from digits_jax.data import Splits
from digits_jax.layers import Affine
from digits_jax.recognition.certainty import (
    Evidence,
    Means,
    Reader,
    auroc,
    certainty,
    class_means,
    make_evidence,
    similarity,
    threshold,
)
from digits_jax.recognition.normalise import SIDE
from digits_jax.runs import reading
from digits_jax.runs.model_file import TrainedModel
from experiments.recognition import non_digits, training_set

# Images for the class means, and non-digits of each kind: for a threshold, for measuring scores.
MEANS_FROM = 20_000
TRIED, MEASURED = 250, 1_000
MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


class Certainty(NamedTuple):
    """How well scores tell digits from what is none, and what the threshold of one makes of them.

    `aurocs` has a row for each score: over all non-digits, then over each kind.
    """

    aurocs: dict[str, list[float]]
    refused_digits: float
    refused_others: float


def of_run(path: Path) -> tuple[reading.Run, Reader, Splits, Affine | None]:
    """A run of one's own, made ready to read, with the row of its last layer for what is no digit.

    A run on the training set of `training_set.write` has an eleventh class, "?": its row is split
    off, and what is left is a network for ten digits like any other.

    Raises:
        ValueError: in one line, if it is not a run, or not one of ten digits of 28 x 28 pixels.
        OSError: if a file cannot be read.
    """
    run, other = reading.read(path), None
    height, width = run.model.image_shape
    if (height, width) != (SIDE, SIDE) or run.model.num_classes not in (10, 11):
        what = f"{height} x {width} pixels in {run.model.num_classes} classes"
        raise ValueError(f"run={path}: reads images of {what}, expected 28 x 28 in 10")
    splits = data.load(**run.config.data_settings)
    if splits.class_names == (*training_set.DIGITS, training_set.OTHER):
        splits = data.load(**training_set.MNIST)
        model, other = without_other(run.model)
        run = run._replace(model=model)
    elif splits.class_names != training_set.DIGITS:
        raise ValueError(f"run={path}: its classes are {', '.join(splits.class_names)}, not digits")
    return run, calibrate(run.model, splits, other), splits, other


def without_other(model: TrainedModel) -> tuple[TrainedModel, Affine]:
    """A network for ten digits, and the last layer's row for what is no digit."""
    last = model.params[-1]
    other = Affine(last.weights[10:], last.biases[10:])
    ten = type(last)(last.weights[:10], last.biases[:10])
    config = dataclasses.replace(model.config, data_dir=None, **training_set.MNIST)
    return model._replace(
        params=(*model.params[:-1], ten), config=config, num_classes=10, data=""
    ), other


def calibrate(model: TrainedModel, splits: Splits, other: Affine | None = None) -> Reader:
    """Class means from training images, a threshold from validation images and non-digits.

    Without validation images, training images are used.
    """
    look = make_evidence(model, other)
    images, labels = (part[:MEANS_FROM] for part in splits.train)
    means = class_means(look(images).hidden, labels).astype(np.float32)
    digits = splits.validation.images if len(splits.validation.labels) else images
    others = np.concatenate(
        [non_digits.draw(kind, TRIED, splits.train) for kind in non_digits.KINDS.values()]
    )
    least = threshold(certainty(look(digits), means), certainty(look(others), means))
    return Reader(look, means, least)


def measure(reader: Reader, splits: Splits) -> Certainty:
    """Scores of validation images against those of non-digits that the threshold has not seen."""
    digits = scores(reader.evidence, reader.means, splits.validation.images)
    others = [
        scores(reader.evidence, reader.means, non_digits.draw(kind, MEASURED, splits.test, seed=1))
        for kind in non_digits.KINDS.values()
    ]
    together = {name: np.concatenate([kind[name] for kind in others]) for name in digits}
    return Certainty(
        {
            name: [auroc(digits[name], other[name]) for other in (together, *others)]
            for name in digits
        },
        float((digits["certainty"] < reader.threshold).mean()),
        float((together["certainty"] < reader.threshold).mean()),
    )


def scores(
    look: Callable[[UInt8[np.ndarray, "n h w"]], Evidence],
    means: Means,
    images: UInt8[np.ndarray, "n h w"],
) -> dict[str, Float[np.ndarray, " n"]]:
    """What might tell how sure a network is; each is larger for digits.

    The energy is that of Liu, Wang, Owens and Li, Energy-based Out-of-distribution Detection, 2020;
    the committee are the image and four that are moved by a pixel.
    """
    seen = [look(np.roll(images, move, (1, 2))) for move in MOVES]
    committee = np.mean([evidence.probabilities for evidence in seen], axis=0).max(1)
    near = similarity(seen[0], means)
    return {
        "largest softmax": seen[0].probabilities.max(1),
        "energy": scipy.special.logsumexp(seen[0].logits, axis=1),
        "committee": committee,
        "similarity": near,
        "similarity x committee": near * committee,
        "certainty": certainty(seen[0], means),
    }
