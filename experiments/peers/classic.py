"""The classic training as every peer runs it: its data and settings, read without the library."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FILES = Path(__file__).parents[2] / "digits_jax" / "data" / "mnist"
PIXELS, HIDDEN, CLASSES = 784, 30, 10
TRAIN_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 10_000, 10, 30, 3.0


class Data(NamedTuple):
    """Grey levels, uint8 [n, 784], and labels, uint8 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


class Training(NamedTuple):
    """A training that can be timed: it keeps its parameters to itself.

    `start(seed)` draws new ones; `train(steps)` draws a new order of all images and makes so many
    updates; `accuracy()` is the share of test images classified right; `parameters()` are weights
    [out, in] and biases [out] of each layer, as copies.
    """

    start: Callable[[int], None]
    train: Callable[[int], None]
    accuracy: Callable[[], float]
    parameters: Callable[[], list[tuple[Any, Any]]]


def load() -> Data:
    """The first 10,000 training images and all test images of the embedded MNIST."""

    def read(name: str, header_bytes: int) -> NDArray[np.uint8]:
        with gzip.open(FILES / f"{name}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=header_bytes)

    images, test_images = (
        read(f"{split}-images-idx3", 16).reshape(-1, PIXELS) for split in ("train", "t10k")
    )
    labels, test_labels = (read(f"{split}-labels-idx1", 8) for split in ("train", "t10k"))
    return Data(images[:TRAIN_SIZE], labels[:TRAIN_SIZE], test_images, test_labels)


def run(training: Training, arguments: Sequence[str]) -> None:
    """Trains and prints the test accuracy; the arguments may say how many epochs."""
    training.start(0)
    for _ in range(int(arguments[0]) if arguments else EPOCHS):
        training.train(TRAIN_SIZE // BATCH_SIZE)
    print(f"test accuracy  {training.accuracy():.2%}")
