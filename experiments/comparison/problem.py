"""What is compared at: a network, its initial parameters and a batch."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.checking.findings import leaves
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.losses import LOSSES, Loss, smooth
from digits_jax.models import Model, Params, count_parameters, describe
from digits_jax.training import INIT, make_model


class Place(NamedTuple):
    """Where something was computed: what the rows of tables begin with."""

    network: str
    batch_size: int
    parameters: int


class Problem(NamedTuple):
    """A network and a batch in NumPy float64, rounded to what bfloat16 can hold.

    So every type starts from exactly the same numbers, and results differ by arithmetic alone.
    """

    config: Config
    place: Place
    image_shape: tuple[int, int]
    num_classes: int
    model: Model
    loss: Loss
    params: Any
    images: Any
    batch: Dataset

    def arguments(self, dtype: str, compiled: bool = True) -> tuple[Any, Any, Any]:
        """Parameters, images and labels as `dtype`: on the device, or as NumPy arrays."""
        with jax.enable_x64(dtype == "float64"):
            cast = jax.tree.map(lambda x: x.astype(jnp.dtype(dtype)), (self.params, self.images))
            arguments = *cast, self.batch.labels
            return jax.device_put(arguments) if compiled else arguments

    def parameter_names(self) -> list[str]:
        """A name for every parameter array, in the order of the leaves: weights 1, biases 1, ..."""
        layers = enumerate(filter(None, self.params), start=1)
        return [f"{name} {number}" for number, layer in layers for name in leaves(layer)]


def make_problem(config: Config, splits: Splits) -> Problem:
    """The initial network of a run of `config` and the first images of its training set."""
    shapes = splits.image_shape, splits.num_classes
    with jax.enable_x64(False):  # in float64 the same key draws other numbers
        params = _compiled_init(config.hidden, config.init, *shapes)(np.uint32(config.seed))
    images, labels = (array[: config.batch_size] for array in splits.train)
    name, loss = describe(config.hidden, *shapes), LOSSES[config.loss]
    return Problem(
        config,
        Place(name, config.batch_size, count_parameters(params)),
        *shapes,
        model=make_model(config, *shapes),
        loss=smooth(loss, config.label_smoothing) if config.label_smoothing else loss,
        params=jax.tree.map(lambda array: _round(config.init_scale * array), params),
        images=_round(images.astype(np.float32) / 255),
        batch=Dataset(images, labels),
    )


@functools.cache
def _compiled_init(
    hidden: tuple[str, ...], init: str, image_shape: tuple[int, int], num_classes: int
) -> Callable[[Any], Params]:
    model = make_model(Config(hidden=hidden, init=init), image_shape, num_classes)
    return jax.jit(lambda seed: model.init(jax.random.fold_in(jax.random.key(seed), INIT)))


def _round(array: Any) -> Any:
    return np.asarray(array).astype(jnp.bfloat16).astype(np.float64)


def points(config: Config, networks: Sequence[str], batch_sizes: Sequence[int]) -> list[Config]:
    """`config`, other hidden layers on its batch, and its network on other batches, each once.

    Raises:
        ValueError: in one line, where that makes no network, or a batch of more images than there.
    """
    hidden = [tuple(filter(None, network.split(","))) for network in networks]
    others = [dataclasses.replace(config, hidden=words) for words in hidden]
    others += [dataclasses.replace(config, batch_size=size) for size in batch_sizes]
    return list(dict.fromkeys([config, *others]))


def batch_rows(config: Config, steps: int) -> Any:
    """The training images of `steps` updates, [steps, batch]: every epoch in another order."""
    generator = np.random.default_rng(config.seed)
    used = config.steps_per_epoch * config.batch_size
    epochs = [
        generator.permutation(config.train_size)[:used].reshape(-1, config.batch_size)
        for _ in range(-(-steps // config.steps_per_epoch))
    ]
    return np.concatenate(epochs)[:steps].astype(np.int32)
