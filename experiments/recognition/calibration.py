"""What a network needs to know when it is not sure: class means, and from which score on it is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, UInt8

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
from digits_jax.runs.model_file import TrainedModel
from experiments.recognition import non_digits

# Images for the class means, and as many non-digits of each kind.
MEANS_FROM = 20_000
NON_DIGITS = 1_000
MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))

Look = Callable[[UInt8[np.ndarray, "n h w"]], Evidence]


class Calibration(NamedTuple):
    """A network that knows when it is not sure, and how well each score tells digits from others.

    `scores` has a row for each score: AUROC over all non-digits, then over each kind.
    """

    reader: Reader
    scores: dict[str, list[float]]
    refused_digits: float
    refused_others: float


def calibrate(model: TrainedModel, splits: Splits) -> Calibration:
    """Class means from training images, a threshold from validation images and non-digits."""
    look = make_evidence(model)
    images, labels = splits.train
    means = class_means(look(images[:MEANS_FROM]).hidden, labels[:MEANS_FROM])
    digits = scores(look, means, splits.validation.images)
    others = {
        kind: scores(look, means, non_digits.draw(kind, NON_DIGITS)) for kind in non_digits.KINDS
    }
    together = {name: np.concatenate([kind[name] for kind in others.values()]) for name in digits}
    least = threshold(digits["similarity"], together["similarity"])
    table = {
        name: [auroc(digits[name], together[name])]
        + [auroc(digits[name], kind[name]) for kind in others.values()]
        for name in digits
    }
    return Calibration(
        Reader(look, means.astype(np.float32), least),
        table,
        float((digits["similarity"] < least).mean()),
        float((together["similarity"] < least).mean()),
    )


def scores(
    look: Look, means: Means, images: UInt8[np.ndarray, "n h w"]
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
