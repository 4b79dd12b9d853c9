"""The types that carry images and labels."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int32, UInt8


class _Dataset(NamedTuple):
    images: UInt8[Any, "n height width"]
    labels: Int32[Any, " n"]


class Dataset(_Dataset):
    """Grey images and their class labels, on the host (NumPy) or on a device (JAX).

    The values of labels are looked at where they are on the host, by `Splits` and as programs are
    traced. On a device, and inside a `jax.jit` of one's own, nothing can look at them: a label
    beyond the classes counts as an error there, and in a loss as none of the classes.

    Raises:
        ValueError: in one line, where images are no bytes, or labels not a whole number an image.
    """

    __slots__ = ()

    def __new__(cls, images: Any, labels: Any) -> "Dataset":
        if not all(isinstance(array, np.ndarray | jax.Array) for array in (images, labels)):
            return super().__new__(cls, images, labels)  # a pytree of anything else
        if images.dtype != np.uint8 or images.ndim < 3:
            raise ValueError(
                f"images are {images.dtype} {images.shape}: expected grey levels 0 to 255 as uint8 "
                "[n, height, width]"
            )
        if labels.dtype.kind not in "iu" or labels.shape != images.shape[:-2]:
            raise ValueError(
                f"labels are {labels.dtype} {labels.shape}: expected a class from 0 on as int32, "
                f"one for each image {images.shape[:-2]}"
            )
        return super().__new__(cls, images, labels)


def check_labels(labels: Any, num_classes: int, what: str = "label", least: int = 0) -> None:
    """Checks labels that are on the host: elsewhere it would cost time, or is not possible.

    Raises:
        ValueError: in one line, where one is not among the classes.
    """
    on_host = isinstance(labels, np.ndarray) and labels.size
    for label in (labels.min(), labels.max()) if on_host else ():
        if not least <= label < num_classes:
            raise ValueError(
                f"{what} {label} is not among the {num_classes} classes, 0 to {num_classes - 1}"
            )


class _Splits(NamedTuple):
    train: Dataset
    validation: Dataset
    test: Dataset
    num_classes: int
    class_names: tuple[str, ...] = ()


class Splits(_Splits):
    """The three disjoint sets of a run. `validation` may be empty; `num_classes` is static.

    `class_names`, by label, are for people to read; nothing is computed from them.

    Raises:
        ValueError: in one line, where a label on the host is not among the classes.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> "Splits":
        splits = super().__new__(cls, *args, **kwargs)
        if not isinstance(splits.num_classes, int | np.integer) or splits.num_classes < 1:
            raise ValueError(f"num_classes={splits.num_classes!r}: expected a whole number above 0")
        for name in ("train", "validation", "test"):
            images, labels = getattr(splits, name)
            check_labels(labels, splits.num_classes, f"{name} label")
            sizes = [getattr(part, "shape", ())[1:] for part in (splits.train.images, images)]
            if sizes[0] != sizes[1]:
                raise ValueError(f"training images are {sizes[0]} pixels, {name} images {sizes[1]}")
        return splits

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        height, width = self.train.images.shape[1:]
        return height, width
