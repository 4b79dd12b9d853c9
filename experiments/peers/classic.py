"""The classic training as every peer runs it: its data and settings, read without the library.

A peer is run as `python -m experiments.peers.NAME [JSON]`. The JSON holds the batch size, the
number of epochs, the seed, and the settings of the peer's form. It prints a line of JSON: the
median time of an epoch in seconds, the test accuracy, and with `"product": true` the rate of a
large matrix product in FLOP/s.
"""

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FILES = Path(__file__).parents[2] / "digits_jax" / "data" / "mnist"
PIXELS, HIDDEN, CLASSES = 784, 30, 10
TRAIN_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 10_000, 10, 30, 3.0
SIZE = 1024  # of matrices: large enough for the full rate of a CPU


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


def product(multiply: Callable[[], Any], size: int) -> float:
    """The rate of a product of two matrices of this size, in FLOP/s: the median of ten."""
    times = []
    for _ in range(11):
        began = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times[1:])


def matrices(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two large random ones."""
    a, b = np.random.default_rng(0).random((2, size, size), np.float32)
    return a, b


def time_epochs(
    epochs: int, epoch: Callable[[], Any], accuracy: Callable[[], float]
) -> dict[str, float]:
    """Trains: the median time of an epoch, without the first, and the test accuracy afterwards."""
    times = []
    for _ in range(epochs):
        began = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - began)
    return {"epoch": statistics.median(times[1:] or times), "test_accuracy": accuracy()}


def main(
    make_training: Callable[..., Training], multiply: Callable[[int], Callable[[], Any]] | None
) -> None:
    """Trains as the JSON in the first argument says, and prints JSON.

    Args:
        make_training: gives a training from the data, the batch size and what else is given.
        multiply: gives what multiplies two matrices of a size.
    """
    given: dict[str, Any] = json.loads(sys.argv[1]) if sys.argv[1:] else {}
    epochs, seed = given.pop("epochs", EPOCHS), given.pop("seed", 0)
    wants_product = given.pop("product", False) and multiply
    training = make_training(load(), **({"batch_size": BATCH_SIZE} | given))
    training.start(seed)
    steps = TRAIN_SIZE // given.get("batch_size", BATCH_SIZE)
    found = time_epochs(epochs, lambda: training.train(steps), training.accuracy)
    if wants_product:
        found["sgemm"] = product(wants_product(SIZE), SIZE)
    print(json.dumps(found))
