"""How sure a network is of what it reads, and when that is not enough.

Every score is larger for digits than for what is none; which of them tells the two apart best is
measured by `python -m experiments.recognise --record`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from digits_jax.evaluation import dtype_of, scale_pixels
from digits_jax.layers import Affine
from digits_jax.losses import LOSSES
from digits_jax.models import with_inputs
from digits_jax.runs.model_file import TrainedModel
from digits_jax.training import make_model

# Means of each class, and the cells each way over which a hidden layer that has space is averaged.
MEANS = 8
CELLS = 3
BATCH = 32
# The share of digits that may be refused.
REFUSED = 0.002


class Evidence(NamedTuple):
    """What a network has to say about images.

    `hidden` is its last hidden layer, scaled to length 1; `other` is the probability that the image
    is not a digit, 0 from a network that has not learned what else there is.
    """

    logits: Float[np.ndarray, "n classes"]
    probabilities: Float[np.ndarray, "n classes"]
    hidden: Float[np.ndarray, "n features"]
    other: Float[np.ndarray, " n"]


# The means [classes, MEANS, features] of hidden layers.
Means = Float[np.ndarray, "classes means features"]


class Reader(NamedTuple):
    """A network as the function of `make_evidence`, and what it takes to know when it is not sure.

    An answer counts if its `certainty` is at least `threshold`.
    """

    evidence: Callable[[UInt8[np.ndarray, "n height width"]], Evidence]
    means: Means
    threshold: float


def make_evidence(
    model: TrainedModel, other: Affine | None = None
) -> Callable[[UInt8[np.ndarray, "n height width"]], Evidence]:
    """The function from images to what the network has to say about them.

    Args:
        model: the network.
        other: the row of its last layer, weights [1, fan-in] and bias [1], for what is no digit.
    """
    evaluate = with_inputs(make_model(model.config, model.image_shape, model.num_classes))
    to_probabilities = LOSSES[model.config.loss].probabilities
    params = model.params

    @jax.jit
    def batch_evidence(images: Array) -> tuple[Array, Array, Array, Array]:
        logits, inputs = evaluate(params, scale_pixels(images, dtype_of(params)))
        space = [a for a in inputs if a.ndim == 4][-1]
        flat = inputs[-1].T if space.shape[0] == 1 else averaged(space)
        hidden = flat / jnp.maximum(jnp.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
        none = jnp.zeros(len(logits))
        if other is not None:
            outside = (other.weights @ inputs[-1] + other.biases[:, None])[0]
            none = jax.nn.sigmoid(outside - jax.nn.logsumexp(logits, axis=1))
        return logits, to_probabilities(logits), hidden, none

    def evidence(images: UInt8[np.ndarray, "n height width"]) -> Evidence:
        # Batches of one size are compiled once.
        padded = np.pad(images, ((0, -len(images) % BATCH), (0, 0), (0, 0)))
        batches = padded.reshape(-1, BATCH, *images.shape[1:])
        parts = [jax.device_get(batch_evidence(batch)) for batch in batches]
        empty = [np.zeros((0, model.num_classes))] * 2 + [np.zeros((0, 1)), np.zeros(0)]
        columns = zip(*parts, strict=True) if parts else [[e] for e in empty]
        return Evidence(*(np.concatenate(part)[: len(images)] for part in columns))

    return evidence


def averaged(space: Float[Array, "channels n h w"]) -> Float[Array, "n features"]:
    """Means over cells of every channel."""
    height, width = (np.array_split(np.arange(n), CELLS) for n in space.shape[2:])
    cells = [
        space[:, :, y[0] : y[-1] + 1, x[0] : x[-1] + 1].mean((2, 3)) for y in height for x in width
    ]
    return jnp.concatenate(cells).T


def similarity(evidence: Evidence, means: Means) -> Float[np.ndarray, " n"]:
    """The cosine between the hidden layer and the nearest mean of the class that is predicted."""
    nearest = np.einsum("nf,cmf->ncm", evidence.hidden, means).max(axis=2)
    return np.take_along_axis(nearest, evidence.logits.argmax(1)[:, None], 1)[:, 0]


def certainty(evidence: Evidence, means: Means) -> Float[np.ndarray, " n"]:
    """What decides about an answer: similarity, and that it is a digit at all."""
    return np.asarray(similarity(evidence, means) * (1 - evidence.other))


def class_means(
    hidden: Float[np.ndarray, "n features"], labels: Int[np.ndarray, " n"], steps: int = 15
) -> Means:
    """Some means of each class, each the direction of those nearest to it: spherical k-means.

    Source: Dhillon and Modha, Concept Decompositions for Large Sparse Text Data, 2001.
    """
    means = []
    for label in range(labels.max() + 1):
        members = hidden[labels == label]
        centres = members[np.linspace(0, len(members) - 1, MEANS).astype(int)]
        for _ in range(steps):
            nearest = (members @ centres.T).argmax(1)
            sums = [members[nearest == k].sum(0) for k in range(MEANS)]
            centres = np.stack([s if s.any() else c for s, c in zip(sums, centres, strict=True)])
            centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        means.append(centres)
    return np.stack(means).astype(np.float16)


def threshold(
    digits: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], refused: float = REFUSED
) -> float:
    """The score from which on an answer is given.

    It refuses as much as it can of what is no digit and at most a share `refused` of digits, and
    where it refuses no more of the former than of the latter, nothing.
    """
    least = float(np.quantile(digits, refused))
    return least if (others < least).mean() > (digits < least).mean() else -1.0


def auroc(digits: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """The chance that a digit scores higher than something else: the area under the ROC curve."""
    others = np.sort(others)
    below = np.searchsorted(others, digits, "left") + np.searchsorted(others, digits, "right")
    return float(below.mean() / 2 / len(others))
