"""One training on many devices: each has a part of the images, and all share every step.

A batch is made of as many images from each device, drawn from that device's part in an order of its
own; gradients are averaged over the devices, so that parameters stay the same on all of them
(synchronous data parallelism; Dean et al., Large scale distributed deep networks, 2012, section 4;
Goyal et al., Accurate, large minibatch SGD, 2017). The result depends on the number of parts, which
is `Config.shards`, and on nothing else of the machines.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import Metrics, make_logits
from digits_jax.losses import LOSSES
from digits_jax.models import Params
from digits_jax.parallel.mesh import make_mesh, put
from digits_jax.runs.programs import Evaluate, Programs, evaluations
from digits_jax.training import TrainMetrics, TrainState, make_training

SHARDS = "shards"
COPIED, BY_SHARD = PartitionSpec(), PartitionSpec(SHARDS)  # type: ignore[no-untyped-call]
# The label of images that only fill up a split: no class has it.
NO_LABEL = -1


class DataParallel(NamedTuple):
    """The functions of `training.Training`, for a mesh: states are copied, splits are in parts."""

    init: jax.stages.Wrapped
    epoch: Callable[[Hyperparameters, TrainState, Dataset], tuple[TrainState, TrainMetrics]]
    evaluate: Evaluate


def make_data_parallel(
    config: Config,
    image_shape: tuple[int, int],
    num_classes: int,
    mesh: Mesh,
    gradient_norms: bool = False,
) -> DataParallel:
    """Everything that a run of `config` computes on the devices of `mesh`, not yet compiled.

    Args:
        config: the run; its `shards` are the devices of the mesh.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        mesh: one axis, `shards`.
        gradient_norms: whether metrics hold the norm of each layer's gradient.
    """
    part = dataclasses.replace(
        config,
        batch_size=config.batch_size // config.shards,
        train_size=config.train_size // config.shards,
        shards=1,
    )
    training = make_training(
        part, image_shape, num_classes, gradient_norms=gradient_norms, axis=SHARDS
    )
    logits_of = make_logits(training.model)
    loss = LOSSES[config.loss]

    def epoch(
        numbers: Hyperparameters, state: TrainState, train: Dataset
    ) -> tuple[TrainState, TrainMetrics]:
        # Folded, not split, and the key kept as it was: a resumed run draws what an unbroken draws.
        shard_key = jax.random.fold_in(state.key, jax.lax.axis_index(SHARDS))
        after, metrics = training.epoch(numbers, state._replace(key=shard_key), train)
        means = (metrics.loss, metrics.accuracy)
        loss, accuracy = jax.lax.pmean(means, SHARDS)  # type: ignore[no-untyped-call]
        return after._replace(key=state.key), metrics._replace(loss=loss, accuracy=accuracy)

    def evaluate(params: Params, dataset: Dataset) -> Metrics:
        images, labels = dataset
        logits = logits_of(params, images)
        counted = labels != NO_LABEL
        known = jnp.where(counted, labels, 0)
        losses = jnp.where(counted, loss.function(logits, known), 0)
        confusion = jnp.zeros((num_classes, num_classes), jnp.int32)
        confusion = confusion.at[known, jnp.argmax(logits, axis=-1)].add(counted.astype(jnp.int32))
        # Sums over all devices; each image counts once, however many the devices have.
        sums = (jnp.sum(losses), jnp.sum(counted), confusion)
        total_loss, count, confusion = jax.lax.psum(sums, SHARDS)  # type: ignore[no-untyped-call]
        errors = count - jnp.trace(confusion)
        return Metrics(total_loss / count, 1 - errors / count, errors, confusion)

    shard_map = functools.partial(jax.shard_map, mesh=mesh, out_specs=COPIED)
    copied = NamedSharding(mesh, COPIED)
    return DataParallel(
        init=jax.jit(training.init, out_shardings=copied),
        epoch=shard_map(epoch, in_specs=(COPIED, COPIED, BY_SHARD)),
        evaluate=shard_map(evaluate, in_specs=(COPIED, BY_SHARD)),
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


def compile_programs(config: Config, splits: Splits, gradient_norms: bool = False) -> Programs:
    """As `programs.compile_programs`, for a run on the first `config.shards` devices."""
    mesh = make_mesh(SHARDS, config.shards)
    copied, by_shard = NamedSharding(mesh, COPIED), NamedSharding(mesh, BY_SHARD)
    functions = make_data_parallel(
        config, splits.image_shape, splits.num_classes, mesh, gradient_norms
    )

    def shapes(tree: Any, sharding: NamedSharding) -> Any:
        def shape(array: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(  # type: ignore[no-untyped-call]
                array.shape, array.dtype, sharding=sharding
            )

        return jax.tree.map(shape, tree)

    def evaluation(dataset: Dataset) -> Evaluate:
        split = shapes(padded(dataset, config.shards), by_shard)
        return jax.jit(functions.evaluate).lower(state.params, split).compile()

    numbers = shapes(hyperparameters(config), copied)
    state = shapes(jax.eval_shape(functions.init, numbers), copied)
    epoch = jax.jit(functions.epoch, donate_argnums=1)
    evaluate_validation, evaluate_test = evaluations(evaluation, splits)
    return Programs(
        init=functions.init.lower(numbers).compile(),
        epoch=epoch.lower(numbers, state, shapes(splits.train, by_shard)).compile(),
        evaluate_validation=evaluate_validation,
        evaluate_test=evaluate_test,
        put=lambda tree: put(tree, copied),
        put_split=lambda split: put(padded(split, config.shards), by_shard),
    )
