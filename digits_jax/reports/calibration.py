"""Calibration: whether a network that is 80 % sure is right four times in five."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# As Guo et al. (2017, section 4) plot and measure it.
BINS = 15


class Reliability(NamedTuple):
    """Predictions sorted into bins of equal width by confidence; bin m is ((m-1)/bins, m/bins].

    `accuracy` and `confidence` are means over a bin's predictions, NaN where it has none.
    """

    counts: Int[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]


def reliability(
    confidence: Float[Any, " n"], correct: Bool[Any, " n"], bins: int = BINS
) -> Reliability:
    """What a reliability diagram shows (Guo, Pleiss, Sun and Weinberger, 2017, section 2).

    Args:
        confidence: the probability of each predicted class, in [0, 1].
        correct: whether the prediction was right.
        bins: number of bins.

    Raises:
        ValueError: where a confidence is not in [0, 1] or there is no bin.
    """
    confidence = np.asarray(confidence, np.float64)
    if bins < 1:
        raise ValueError(f"bins={bins}: must be at least 1")
    if not np.all((confidence >= 0) & (confidence <= 1)):
        raise ValueError("a confidence is a probability: from 0 to 1")
    edges = np.arange(bins + 1) / bins
    # Zero belongs to no half-open bin; the first takes it.
    members = np.maximum(np.searchsorted(edges, confidence) - 1, 0)
    counts = np.bincount(members, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(members, weights=values, minlength=bins)
        means: np.ndarray = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
        return means

    return Reliability(counts, accuracy=mean(np.asarray(correct)), confidence=mean(confidence))


def expected_calibration_error(reliability: Reliability) -> float:
    """ECE = sum over bins of |B_m|/n |accuracy(B_m) - confidence(B_m)| (Guo et al., equation 3).

    Raises:
        ValueError: where there are no predictions.
    """
    counts, accuracy, confidence = reliability
    if not counts.any():
        raise ValueError("no predictions: no calibration error")
    gaps = np.nan_to_num(np.abs(accuracy - confidence))  # NaN: an empty bin, of weight 0
    return float(np.sum(counts * gaps) / np.sum(counts))
