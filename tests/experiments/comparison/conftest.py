"""A small network on small images, where every method is quick."""

import numpy as np
import pytest

from digits_jax.config import Config
from digits_jax.data import Dataset, Splits
from experiments.comparison.problem import make_problem


@pytest.fixture(scope="session")
def splits():
    """60 training and 40 test images of 3 x 4 pixels in 4 classes that a network can learn."""
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 256, (4, 3, 4))

    def draw(count):
        labels = rng.integers(0, 4, count)
        images = prototypes[labels] + rng.integers(-20, 21, (count, 3, 4))
        return Dataset(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int32))

    return Splits(draw(60), draw(0), draw(40), num_classes=4)


@pytest.fixture(scope="session")
def config():
    return Config(train_size=60, validation_size=0, hidden=("7",), batch_size=6, epochs=1)


@pytest.fixture(scope="session")
def convolutional(splits):
    """Two convolutions, the second with a stride, and a pool, with the kinks of relu."""
    config = Config(
        train_size=60,
        validation_size=0,
        hidden=("conv3", "conv4/2", "max2", 5),
        batch_size=6,
        activation="relu",
    )
    return make_problem(config, splits)


@pytest.fixture(scope="session")
def problem(config, splits):
    return make_problem(config, splits)
