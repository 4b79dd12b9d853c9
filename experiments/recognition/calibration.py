"""What a network needs to know when it is not sure: class means, and from which score on it is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, UInt8

from digits_jax import data
from digits_jax.data import Splits
from digits_jax.recognition.certainty import (
    Evidence,
    Means,
    Reader,
    auroc,
    class_means,
    make_evidence,
    similarity,
    threshold,
)
from digits_jax.recognition.normalise import SIDE
from digits_jax.runs import reading
from digits_jax.runs.model_file import TrainedModel
from experiments.recognition import non_digits

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


def of_run(path: Path) -> tuple[reading.Run, Reader, Splits]:
    """A run of one's own, made ready to read.

    Raises:
        ValueError: in one line, where it is none, or not one of ten digits of 28 x 28 pixels.
        OSError: where a file cannot be read.
    """
    run = reading.read(path)
    height, width = run.model.image_shape
    if (height, width, run.model.num_classes) != (SIDE, SIDE, 10):
        what = f"{height} x {width} pixels in {run.model.num_classes} classes"
        raise ValueError(f"run={path}: reads images of {what}, expected 28 x 28 in 10")
    splits = data.load(**run.config.data_settings)
    if splits.class_names != tuple("0123456789"):
        raise ValueError(f"run={path}: its classes are {', '.join(splits.class_names)}, not digits")
    return run, calibrate(run.model, splits), splits


def calibrate(model: TrainedModel, splits: Splits) -> Reader:
    """Class means from training images, a threshold from validation images and non-digits.

    Where there are no validation images, training images have to do.
    """
    look = make_evidence(model)
    images, labels = (part[:MEANS_FROM] for part in splits.train)
    means = class_means(look(images).hidden, labels).astype(np.float32)
    digits = splits.validation.images if len(splits.validation.labels) else images
    others = np.concatenate([non_digits.draw(kind, TRIED) for kind in non_digits.KINDS])
    least = threshold(similarity(look(digits), means), similarity(look(others), means))
    return Reader(look, means, least)


def measure(reader: Reader, splits: Splits) -> Certainty:
    """Scores of validation images against those of non-digits that the threshold has not seen."""
    digits = scores(reader.evidence, reader.means, splits.validation.images)
    others = [
        scores(reader.evidence, reader.means, non_digits.draw(kind, MEASURED, seed=1))
        for kind in non_digits.KINDS
    ]
    together = {name: np.concatenate([kind[name] for kind in others]) for name in digits}
    return Certainty(
        {
            name: [auroc(digits[name], other[name]) for other in (together, *others)]
            for name in digits
        },
        float((digits["similarity"] < reader.threshold).mean()),
        float((together["similarity"] < reader.threshold).mean()),
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
    }
