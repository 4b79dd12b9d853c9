"""Exact metrics over every example of a split."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from digits_jax.data.dataset import Dataset, check_labels
from digits_jax.losses import Loss
from digits_jax.models import Model, Weights

# Bounds the memory of one pass: this many images are float32 at a time.
EVALUATION_BATCH = 1_000
# The label of images that only fill up a split: no class has it.
NO_LABEL = -1


class Metrics(NamedTuple):
    """Metrics of a whole split: mean loss, share of correct predictions, number of errors.

    `confusion[i, j]` counts the examples of class i that were predicted as class j.
    """

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    errors: Int[Array, ""]
    confusion: Int[Array, "classes classes"]


Evaluate = Callable[[Weights, Dataset], Metrics]


def scale_pixels(images: Array, dtype: jnp.dtype) -> Array:
    """Grey levels 0 to 255 as numbers in [0, 1]."""
    return images.astype(dtype) / 255


def dtype_of(params: Weights) -> jnp.dtype:
    """The type that a network computes in."""
    return jnp.result_type(*jax.tree.leaves(params))


def make_logits(
    model: Model,
) -> Callable[[Weights, UInt8[Any, "n height width"]], Float[Array, "n classes"]]:
    """The function that gives the logits of every image, the last incomplete batch included."""

    def logits(params: Weights, images: UInt8[Any, "n height width"]) -> Float[Array, "n classes"]:
        def logits_of(batch: Array) -> Float[Array, "batch classes"]:
            return model.apply(params, scale_pixels(batch, dtype_of(params)))

        # lax.map with a batch_size would map over single images: 1.8 times the time.
        images = jnp.asarray(images)
        count, *shape = images.shape
        if not count:
            raise ValueError("there are no images to score: validation_size=0 makes none")
        whole = count - count % EVALUATION_BATCH
        parts = []
        if whole:
            batches = images[:whole].reshape(-1, EVALUATION_BATCH, *shape)
            scores = jax.lax.map(logits_of, batches)
            parts.append(scores.reshape(whole, scores.shape[-1]))
        if count > whole:
            parts.append(logits_of(images[whole:]))
        return jnp.concatenate(parts)

    return logits


def make_evaluate(model: Model, loss: Loss, axis: str | None = None) -> Evaluate:
    """The function that scores parameters on a split, the last incomplete batch included.

    Args:
        model: the network.
        loss: the loss whose mean is told.
        axis: a mesh axis over which the split is spread, inside `jax.shard_map`: each image counts
            once, however many each device has, and images labelled `NO_LABEL` not at all.
    """
    logits_of = make_logits(model)

    def evaluate(params: Weights, dataset: Dataset) -> Metrics:
        images, labels = dataset
        logits = logits_of(params, images)
        check_labels(labels, logits.shape[-1], least=NO_LABEL)
        counted = labels != NO_LABEL
        known = jnp.where(counted, labels, 0)
        losses = jnp.where(counted, loss.function(logits, known), 0)
        confusion = jnp.zeros((logits.shape[-1], logits.shape[-1]), jnp.int32)
        confusion = confusion.at[known, jnp.argmax(logits, axis=-1)].add(counted.astype(jnp.int32))
        sums = (jnp.sum(losses), jnp.sum(counted), confusion)
        if axis is not None:
            sums = jax.lax.psum(sums, axis)  # type: ignore[no-untyped-call]
        total_loss, count, confusion = sums
        errors = count - jnp.trace(confusion)
        return Metrics(total_loss / count, 1 - errors / count, errors, confusion)

    return evaluate


class ClassScores(NamedTuple):
    """One number for each class; NaN if no example was predicted as the class, or belongs to it."""

    precision: Float[np.ndarray, " classes"]
    recall: Float[np.ndarray, " classes"]


def precision_and_recall(confusion: Int[Any, "classes classes"]) -> ClassScores:
    """Precision and recall of each class, from `Metrics.confusion`.

    Precision is the share of those taken for the class that are of it; recall is the share of
    those of the class that were taken for it (Manning, Raghavan and Schuetze, Introduction to
    Information Retrieval, 2008, equations 8.1 and 8.2).
    """
    counts = np.asarray(confusion)
    right = np.diagonal(counts).astype(np.float64)

    def share(whole: np.ndarray) -> np.ndarray:
        nothing = np.full(len(right), np.nan)
        shares: np.ndarray = np.divide(right, whole, out=nothing, where=whole > 0)
        return shares

    return ClassScores(precision=share(counts.sum(axis=0)), recall=share(counts.sum(axis=1)))
