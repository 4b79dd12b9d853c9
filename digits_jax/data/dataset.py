"""The types that carry images and labels."""

from typing import Any, NamedTuple

from jaxtyping import Int32, UInt8


class Dataset(NamedTuple):
    """Grey images and their class labels, on the host (NumPy) or on a device (JAX)."""

    images: UInt8[Any, "n height width"]
    labels: Int32[Any, " n"]


class Source(NamedTuple):
    """A data set as its files hold it: not yet cut into training and validation images.

    `class_names` is empty where the files do not name the classes.
    """

    train: Dataset
    test: Dataset
    num_classes: int
    class_names: tuple[str, ...] = ()


class Splits(NamedTuple):
    """The three disjoint sets of a run. `validation` may be empty; `num_classes` is static.

    `class_names`, by label, are for people to read; nothing is computed from them.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    num_classes: int
    class_names: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        height, width = self.train.images.shape[1:]
        return height, width
