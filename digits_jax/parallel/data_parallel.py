"""One training on many devices: each has a part of the images, and all share every step.

A batch is made of as many images from each device, drawn from that device's part in an order of its
own; gradients are averaged over the devices, so that parameters stay the same on all of them
(synchronous data parallelism; Dean et al., Large scale distributed deep networks, 2012, section 4;
Goyal et al., Accurate, large minibatch SGD, 2017). The result depends on the number of parts, which
is `Config.shards`, and on nothing else of the machines.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from digits_jax.config import Config, Hyperparameters
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import NO_LABEL, make_evaluate
from digits_jax.losses import LOSSES
from digits_jax.parallel.mesh import make_mesh
from digits_jax.training import Training, TrainMetrics, TrainState, make_training

SHARDS = "shards"
COPIED, BY_SHARD = PartitionSpec(), PartitionSpec(SHARDS)  # type: ignore[no-untyped-call]


class PlacedTraining(NamedTuple):
    """The functions of a run, and where their arguments lie: `None` is the first device alone.

    States and numbers are copied to every device, splits are in parts.
    """

    training: Training
    copied: Sharding | None
    by_shard: Sharding | None


def of_one_shard(config: Config) -> Config:
    """The run that each of `config.shards` devices makes, with its part of the images."""
    return dataclasses.replace(
        config,
        batch_size=config.batch_size // config.shards,
        train_size=config.train_size // config.shards,
        shards=1,
    )


def make_placed_training(
    config: Config,
    image_shape: tuple[int, int],
    num_classes: int,
    gradient_norms: bool = False,
    devices: Sequence[Any] | None = None,
) -> PlacedTraining:
    """Everything that a run computes on its `config.shards` devices, not yet compiled.

    Args:
        config: the run.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        gradient_norms: whether metrics hold the norm of each layer's gradient.
        devices: those to use; by default the first that there are.
    """
    if config.shards == 1:
        training = make_training(config, image_shape, num_classes, gradient_norms=gradient_norms)
        return PlacedTraining(training, None, None)
    training = make_training(
        of_one_shard(config), image_shape, num_classes, gradient_norms=gradient_norms, axis=SHARDS
    )

    def epoch(
        numbers: Hyperparameters, state: TrainState, train: Dataset
    ) -> tuple[TrainState, TrainMetrics]:
        # Folded, not split, and the key kept as it was: a resumed run draws what an unbroken draws.
        shard_key = jax.random.fold_in(state.key, jax.lax.axis_index(SHARDS))
        after, metrics = training.epoch(numbers, state._replace(key=shard_key), train)
        means = (metrics.loss, metrics.accuracy)
        loss, accuracy = jax.lax.pmean(means, SHARDS)  # type: ignore[no-untyped-call]
        return after._replace(key=state.key), metrics._replace(loss=loss, accuracy=accuracy)

    evaluate = make_evaluate(training.model, LOSSES[config.loss], SHARDS)
    mesh = make_mesh(SHARDS, config.shards, devices=devices)
    shard_map = functools.partial(jax.shard_map, mesh=mesh, out_specs=COPIED)
    return PlacedTraining(
        training._replace(
            epoch=shard_map(epoch, in_specs=(COPIED, COPIED, BY_SHARD)),
            evaluate=shard_map(evaluate, in_specs=(COPIED, BY_SHARD)),
        ),
        copied=NamedSharding(mesh, COPIED),
        by_shard=NamedSharding(mesh, BY_SHARD),
    )


def padded(dataset: Dataset, shards: int) -> Dataset:
    """A split filled up by black images of no class, until it divides by `shards`."""
    missing = -len(dataset.labels) % shards
    if missing == 0:
        return dataset
    images, labels = dataset
    return Dataset(
        np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]),
        np.concatenate([labels, np.full(missing, NO_LABEL, labels.dtype)]),
    )
