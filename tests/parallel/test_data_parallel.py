"""One training on many devices is the training of the same batches on one device."""

import contextlib
import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, data, hyperparameters, make_training, runs
from digits_jax.augmentation import distort, distortions
from digits_jax.gradients import autodiff
from digits_jax.losses import LOSSES
from digits_jax.parallel.data_parallel import make_placed_training, padded
from digits_jax.parallel.mesh import put
from digits_jax.training import DISTORT, shuffle

CONFIG = Config(
    train_size=60, validation_size=15, hidden=(8,), batch_size=20, epochs=4, learning_rate=1.0
)
OTHERS = {
    "optimizer": "nesterov",
    "loss": "cross_entropy",
    "learning_rate": 0.3,
    "clip_norm": 0.05,  # less than the norm of every gradient here
    "label_smoothing": 0.1,
    "weight_decay": 0.01,
    "schedule": "warmup_cosine",
}


def train_on_one_device(config, train):
    """Losses, accuracies and final state: each shard's order drawn, its batches put together."""
    whole = dataclasses.replace(config, shards=1)
    training = make_training(whole, train.images.shape[1:], int(train.labels.max()) + 1)
    numbers = hyperparameters(whole)
    state = jax.jit(training.init)(numbers)
    train_step = jax.jit(training.train_step)
    part, rows = len(train.labels) // config.shards, config.batch_size // config.shards
    history = []
    for epoch in range(config.epochs):
        orders = [
            shard * part
            + np.asarray(
                shuffle(jax.random.fold_in(jax.random.fold_in(state.key, shard), epoch), part)
            )
            for shard in range(config.shards)
        ]
        metrics = []
        for step in range(config.steps_per_epoch):
            batch = np.concatenate([order[step * rows : (step + 1) * rows] for order in orders])
            state, measured = train_step(
                numbers, state, Dataset(train.images[batch], train.labels[batch])
            )
            metrics.append((float(measured.loss), float(measured.accuracy)))
        history.append(np.mean(metrics, axis=0))
    return np.array(history), state


def train_on_devices(config, train, gradient_norms=False):
    training, copied, by_shard = make_placed_training(
        config, train.images.shape[1:], int(train.labels.max()) + 1, gradient_norms
    )
    numbers = put(hyperparameters(config), copied)
    train = put(train, by_shard)
    state = jax.jit(training.init, out_shardings=copied)(numbers)
    epoch = jax.jit(training.epoch)
    history = []
    for _ in range(config.epochs):
        state, metrics = epoch(numbers, state, train)
        history.append(metrics)
    return history, state


@pytest.mark.parametrize("shards", [2, 4])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradients": "manual"},
        OTHERS,
        {**OTHERS, "gradients": "manual"},
        {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01},
        {"hidden": ("conv3/2", "max2", "5"), "average": 0.9},
        {"hidden": ("conv3/2,bn,5,bn",), "average": 0.9},
        {"hidden": ("conv3/2,bn,5,bn",), "average": 0.9, "gradients": "manual"},
        {"hidden": (8, 7), "gradients": "direct_feedback_alignment"},
        {"gradients": "forward_gradient", "directions": 3, "learning_rate": 0.01},
    ],
    ids=[
        "autodiff",
        "manual",
        "all terms",
        "all terms by hand",
        "adamw",
        "convolution, averaged",
        "batch norm of the whole batch",
        "batch norm of the whole batch by hand",
        "random matrices",
        "random directions",
    ],
)
def test_losses_are_those_of_the_same_batches_on_one_device(splits, shards, settings):
    config = dataclasses.replace(CONFIG, shards=shards, **settings)
    history, state = train_on_devices(config, splits.train)
    expected, expected_state = train_on_one_device(config, splits.train)
    np.testing.assert_allclose([m.loss for m in history], expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose([m.accuracy for m in history], expected[:, 1], rtol=1e-6)
    for one, other in zip(
        jax.tree.leaves(state.judged), jax.tree.leaves(expected_state.judged), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)
    assert state.step == 4 * 3
    assert jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(expected_state.key))


def test_each_shard_distorts_its_images_by_numbers_of_its_own(splits):
    """By a key that shard, purpose and step are folded into: gradient descent, step by step."""
    amounts = {"rotate": 20.0, "shift": 1.0, "elastic": 0.5, "thickness": 0.5, "fade": 0.5}
    config = dataclasses.replace(CONFIG, shards=2, epochs=1, **amounts)
    _, state = train_on_devices(config, splits.train)
    training = make_training(dataclasses.replace(config, shards=1), (5, 7), 3)
    params, _, _, key, *_ = training.init(hyperparameters(config))
    value_and_grad = jax.jit(autodiff(training.model, LOSSES["quadratic"]))
    keys = [jax.random.fold_in(key, shard) for shard in range(2)]
    orders = [30 * s + shuffle(jax.random.fold_in(k, 0), 30) for s, k in enumerate(keys)]
    for step in range(3):
        parts = [order[10 * step : 10 * (step + 1)] for order in orders]
        images = [
            distort(
                jax.random.fold_in(jax.random.fold_in(k, DISTORT), step),
                jnp.asarray(splits.train.images[part], jnp.float32) / 255,
                distortions(hyperparameters(config), (3 - step) / 3),
            )
            for k, part in zip(keys, parts, strict=True)
        ]
        labels = jnp.asarray(splits.train.labels)[jnp.concatenate(parts)]
        _, gradient = value_and_grad(params, jnp.concatenate(images), labels)
        params = jax.tree.map(lambda p, g: p - 1.0 * g, params, gradient)
    for actual, expected in zip(
        jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gradients", ["autodiff", "manual"])
@pytest.mark.parametrize("shards", [2, 4])
def test_losses_of_the_classic_run_are_those_of_one_device(shards, gradients):
    config = Config(batch_size=20, shards=shards, gradients=gradients, epochs=3)
    train = data.load().train
    history, _ = train_on_devices(config, train)
    expected, _ = train_on_one_device(config, train)
    print([float(m.loss) for m in history] / expected[:, 0] - 1)
    np.testing.assert_allclose([m.loss for m in history], expected[:, 0], rtol=1e-6)


@pytest.mark.parametrize("gradients", ["autodiff", "manual", "forward_gradient"])
def test_clipping_and_norms_are_of_the_averaged_gradient(splits, gradients):
    # One step from the same parameters: norms of the mean, not the mean of norms.
    config = dataclasses.replace(CONFIG, batch_size=60, epochs=1, gradients=gradients)
    numbers = hyperparameters(config)
    training = make_training(config, (5, 7), 3, gradient_norms=True)
    _, expected = jax.jit(training.train_step)(numbers, training.init(numbers), splits.train)
    (metrics,), _ = train_on_devices(
        dataclasses.replace(config, shards=4), splits.train, gradient_norms=True
    )
    np.testing.assert_allclose(metrics.gradient_norms, expected.gradient_norms, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 8, 21])
def test_evaluation_counts_every_image_once(splits, size):
    config = dataclasses.replace(CONFIG, shards=4)
    split = Dataset(splits.test.images[:size], splits.test.labels[:size])
    training = make_training(CONFIG, (5, 7), 3)
    params = training.init(hyperparameters(CONFIG)).params
    expected = jax.jit(training.evaluate)(params, split)
    spread, copied, by_shard = make_placed_training(config, (5, 7), 3)
    metrics = jax.jit(spread.evaluate)(put(params, copied), put(padded(split, 4), by_shard))
    assert metrics.errors == expected.errors
    assert metrics.confusion.sum() == size
    np.testing.assert_array_equal(metrics.confusion, expected.confusion)
    np.testing.assert_allclose(metrics.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(metrics.accuracy, expected.accuracy, rtol=1e-6)


def test_a_device_holds_its_own_images_and_every_device_the_parameters(splits):
    programs = runs.compile_programs(dataclasses.replace(CONFIG, shards=4), splits)
    train = programs.put_split(splits.train)
    assert train.images.dtype == np.uint8
    for shard, part in enumerate(train.images.addressable_shards):
        rows = slice(15 * shard, 15 * (shard + 1))
        np.testing.assert_array_equal(part.data, splits.train.images[rows])
    state = programs.init(programs.put(hyperparameters(CONFIG)))
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state))


def test_nothing_is_compiled_or_sent_after_the_first_epoch(splits, tmp_path, caplog):
    compilations = []

    def count(epoch):
        compilations.append(sum("Compiling" in record.getMessage() for record in caplog.records))

    config = dataclasses.replace(CONFIG, shards=4)
    with (
        jax.log_compiles(),
        caplog.at_level(logging.WARNING),
        jax.transfer_guard("disallow"),
    ):
        runs.train(config, splits, tmp_path, [contextlib.nullcontext(count)])
    assert compilations[0] > 0
    assert len(set(compilations)) == 1


def test_a_run_resumed_after_every_epoch_is_the_unbroken_run(tmp_path, splits):
    config = dataclasses.replace(
        CONFIG, shards=2, optimizer="adamw", schedule="cosine", learning_rate=0.01
    )
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    for directory in (unbroken, broken):
        directory.mkdir()
    runs.train(config, splits, unbroken)
    for _ in range(2):
        checkpoint, _ = runs.restore(config, splits, broken)
        asked = iter([False, False, True])
        with pytest.raises(runs.Stopped):
            runs.train(
                config,
                splits,
                broken,
                checkpoint=checkpoint,
                should_stop=lambda asked=asked: next(asked),
            )
    checkpoint, _ = runs.restore(config, splits, broken)
    assert len(checkpoint.rows) == 2
    runs.train(config, splits, broken, checkpoint=checkpoint)
    models = [(directory / runs.MODEL_FILE).read_bytes() for directory in (unbroken, broken)]
    assert models[0] == models[1]
    with pytest.raises(ValueError, match="of another run: shards is 2 there, and 4 here"):
        runs.restore(dataclasses.replace(config, shards=4), splits, broken)
