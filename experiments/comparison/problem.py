"""What is compared at: a network, its parameters and a batch, at every point of the sweeps."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.models import Model, Params, count_parameters
from digits_jax.training import INIT, make_model

Sweeps = dict[str, list[Config]]


class Problem(NamedTuple):
    """A network and a batch in NumPy float64, rounded to what bfloat16 can hold.

    So every type starts from exactly the same numbers, and results differ by arithmetic alone.
    """

    config: Config
    image_shape: tuple[int, int]
    num_classes: int
    model: Model
    params: Any
    images: Any
    labels: Any
    batch: Dataset

    @property
    def network(self) -> str:
        """The sizes of the layers, as in 784-30-10."""
        height, width = self.image_shape
        return "-".join(map(str, (height * width, *self.config.hidden, self.num_classes)))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return count_parameters(self.params)

    def arguments(self, dtype: str, compiled: bool) -> tuple[Any, Any, Any]:
        """Parameters, images and labels as `dtype`: on the device, or as NumPy arrays."""
        with jax.enable_x64(dtype == "float64"):
            cast = jax.tree.map(lambda x: x.astype(jnp.dtype(dtype)), (self.params, self.images))
            params, images = jax.device_put(cast) if compiled else cast
            return params, images, jax.device_put(self.labels) if compiled else self.labels


def make_problem(config: Config, splits: Splits) -> Problem:
    """The initial network of a run of `config` and the first images of its training set."""
    model = make_model(config, splits.image_shape, splits.num_classes)
    with jax.enable_x64(False):  # in float64 the same key draws other numbers
        params = _compiled_init(config.hidden, config.init, splits.image_shape, splits.num_classes)(
            np.uint32(config.seed)
        )
    images, labels = (array[: config.batch_size] for array in splits.train)
    return Problem(
        config=config,
        image_shape=splits.image_shape,
        num_classes=splits.num_classes,
        model=model,
        params=jax.tree.map(lambda array: _round(config.init_scale * array), params),
        images=_round(images.astype(np.float32) / 255),
        labels=labels,
        batch=Dataset(images, labels),
    )


@functools.cache
def _compiled_init(
    hidden: tuple[int, ...], init: str, image_shape: tuple[int, int], num_classes: int
) -> Callable[[Any], Params]:
    config = Config(hidden=hidden, init=init)
    model = make_model(config, image_shape, num_classes)
    return jax.jit(lambda seed: model.init(jax.random.fold_in(jax.random.key(seed), INIT)))


def _round(array: Any) -> Any:
    return np.asarray(array).astype(jnp.bfloat16).astype(np.float64)


def make_sweeps(
    config: Config, widths: Sequence[int], depths: Sequence[int], batch_sizes: Sequence[int]
) -> Sweeps:
    """Networks of one hidden layer of each width, of each depth, and batches of each size.

    What an axis does not vary is as in `config`; networks of several layers have equal widths.

    Raises:
        ValueError: in one line, where a size is below 1 or a batch is larger than the training set.
    """
    for name, sizes in (
        ("hidden_sizes", widths),
        ("depths", depths),
        ("batch_sizes", batch_sizes),
    ):
        for size in sizes:
            if size < 1:
                raise ValueError(f"{name}={size}: must be at least 1")
    width = config.hidden[:1] or (30,)
    return {
        "width": [dataclasses.replace(config, hidden=(w,)) for w in sorted(set(widths))],
        "depth": [dataclasses.replace(config, hidden=width * d) for d in sorted(set(depths))],
        "batch": [dataclasses.replace(config, batch_size=b) for b in sorted(set(batch_sizes))],
    }


def points(config: Config, sweeps: Sweeps) -> list[Config]:
    """`config` and every point of the sweeps, each once."""
    return list(dict.fromkeys([config, *(point for axis in sweeps.values() for point in axis)]))


def batch_rows(config: Config, steps: int) -> Any:
    """The training images of `steps` updates, [steps, batch]: every epoch in another order."""
    generator = np.random.default_rng(config.seed)
    used = config.steps_per_epoch * config.batch_size
    epochs = [
        generator.permutation(config.train_size)[:used].reshape(-1, config.batch_size)
        for _ in range(-(-steps // config.steps_per_epoch))
    ]
    return np.concatenate(epochs)[:steps]
