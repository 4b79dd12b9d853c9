"""Exact metrics over every example of a split."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from digits_jax.data.dataset import Dataset
from digits_jax.losses import Loss
from digits_jax.models import Model, Params

# Bounds the memory of one pass: this many images are float32 at a time.
EVALUATION_BATCH = 1_000


class Metrics(NamedTuple):
    """Of a whole split: mean loss, share of examples classified right, count of those wrong.

    `confusion[i, j]` counts the examples of class i that were taken for class j.
    """

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    errors: Int[Array, ""]
    confusion: Int[Array, "classes classes"]


def scale_pixels(images: Array, dtype: jnp.dtype) -> Array:
    """Grey levels 0 to 255 as numbers in [0, 1]."""
    return images.astype(dtype) / 255


def make_evaluate(model: Model, loss: Loss) -> Callable[[Params, Dataset], Metrics]:
    """The function that scores parameters on a split, the last incomplete batch included."""

    def evaluate(params: Params, dataset: Dataset) -> Metrics:
        dtype = params[0].weights.dtype

        def logits_of(image: Array) -> Float[Array, " classes"]:
            return model.apply(params, scale_pixels(image, dtype)[None])[0]

        images, labels = dataset
        logits = jax.lax.map(logits_of, images, batch_size=EVALUATION_BATCH)
        predictions = jnp.argmax(logits, axis=-1)
        errors = jnp.sum(predictions != labels)
        classes = logits.shape[-1]
        return Metrics(
            loss=jnp.mean(loss.function(logits, labels)),
            accuracy=1 - errors / len(labels),
            errors=errors,
            confusion=jnp.zeros((classes, classes), jnp.int32).at[labels, predictions].add(1),
        )

    return evaluate
