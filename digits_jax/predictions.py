"""What a model says about images, with or without labels."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from digits_jax.data import Dataset, checks, finding, formats
from digits_jax.data.changes import changed
from digits_jax.data.stored import CLASS_NAMES
from digits_jax.runs import reading
from digits_jax.runs.model_file import TrainedModel


def read_images(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """The images at a path, of all its splits in order, and their labels where all have one.

    Args:
        path: a data file, or a folder of them, as `data.load` takes it; or a file that holds images
            and nothing else.

    Raises:
        ValueError: in one line, where there are no images that can be read.
        OSError: where a file cannot be read.
    """
    path = Path(path)
    arrays = formats.read_file(path) if path.is_file() else {}
    alone = [name for name in arrays if not name.endswith(CLASS_NAMES)]
    images: list[Any] = []
    labels: list[Any] = []
    if len(alone) == 1:
        images = [finding._images(arrays[alone[0]], alone[0])]
    else:
        found = finding.find(path)
        images = [split.images for split in found.splits.values()]
        images += found.unlabelled.values()
        labels = [] if found.unlabelled else [split.labels for split in found.splits.values()]
    grey, _ = checks.grey_levels({str(n): array.whole() for n, array in enumerate(images)})
    return np.concatenate(list(grey.values())), np.concatenate(labels) if labels else None


def predict(model: TrainedModel, images: np.ndarray) -> dict[str, np.ndarray]:
    """A table, a row an image: its `index`, its `class`, and `probability_0` and so on.

    Args:
        model: as `load_model` gives it.
        images: [n, height, width], grey levels 0 to 255, ink bright; of the model's size, or as
            its training images were before they were changed (inverted, transposed, resized).

    Raises:
        ValueError: in one line, where the images are of another size.
    """
    config = model.config
    images = changed(images, config.invert, config.transpose, config.image_size)
    if images.shape[1:] != model.image_shape:
        sizes = ["{} x {}".format(*shape) for shape in (images.shape[1:], model.image_shape)]
        raise ValueError(f"the images are {sizes[0]} pixels, and the model takes {sizes[1]}")
    nothing = np.zeros(len(images), np.int32)
    found = reading.predict(model, Dataset(images, nothing))
    columns = {f"probability_{k}": column for k, column in enumerate(found.probabilities.T)}
    return {"index": np.arange(len(images)), "class": found.predicted, **columns}
