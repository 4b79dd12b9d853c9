"""Images ordered and shared out by their content, where there is no order or test set."""

import hashlib

import numpy as np

from digits_jax.data.dataset import Dataset

TEST_SHARE = 6  # one image in so many is a test image; of MNIST it is one in seven


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def ordered(dataset: Dataset) -> Dataset:
    """The images in the order of the SHA-256 of their pixels: mixed, and the same everywhere."""
    digests = _digests(dataset.images)
    rows = sorted(range(len(digests)), key=digests.__getitem__)
    return Dataset(dataset.images[rows], dataset.labels[rows])


def is_test(images: np.ndarray) -> np.ndarray:
    """Which images are test images: a sixth, by the SHA-256 of their pixels.

    Equal images are on one side, and further images move none to the other.

    Raises:
        ValueError: in one line, where one side would be empty.
    """
    tested = np.array([digest[-1] % TEST_SHARE == 0 for digest in _digests(images)], bool)
    if tested.all() or not tested.any():
        raise ValueError(
            f"{len(tested)} images are too few to keep a sixth for the test: give a test set"
        )
    return tested
