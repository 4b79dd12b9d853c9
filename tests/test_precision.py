"""The precision of products: stated in the program, and as coarse as its name says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config
from digits_jax.config import hyperparameters
from digits_jax.gradients import GRADIENTS
from digits_jax.losses import LOSSES
from digits_jax.training import make_model, make_training

HIDDEN = ("conv4x3", "res(conv4x3)", "max2", "8")
ROUNDING = {"float32": 2.0**-24, "tensorfloat32": 2.0**-11, "bfloat16": 2.0**-8}


def gradient(precision, gradients="autodiff"):
    """Loss, logits and gradient of a small network, and the text of the program before XLA."""
    config = Config(hidden=HIDDEN, activation="tanh", precision=precision)
    model = make_model(config, (8, 8), 10)
    params = model.init(jax.random.key(0))
    images = jax.random.uniform(jax.random.key(1), (16, 8, 8))
    function = GRADIENTS[gradients](model, LOSSES["cross_entropy"])
    lowered = jax.jit(function).lower(params, images, jnp.arange(16) % 10)
    (loss, logits), grads = lowered.compile()(params, images, jnp.arange(16) % 10)
    return loss, logits, np.concatenate([g.ravel() for g in jax.tree.leaves(grads)]), lowered


def error(found, right):
    return np.linalg.norm(found - right) / np.linalg.norm(right)


@pytest.mark.parametrize("gradients", GRADIENTS)
def test_bfloat16_rounds_products_and_nothing_else(gradients):
    _, _, exact, _ = gradient("float32", gradients)
    loss, logits, coarse, lowered = gradient("bfloat16", gradients)
    assert loss.dtype == logits.dtype == coarse.dtype == jnp.float32
    assert ROUNDING["bfloat16"] / 8 < error(coarse, exact) < 8 * ROUNDING["bfloat16"]
    products = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    assert products
    assert all("bf16>, tensor" in line for line in products)


def test_by_hand_and_by_autodiff_round_alike():
    found = [gradient("bfloat16", gradients)[2] for gradients in GRADIENTS]
    assert error(*found) < 2 * ROUNDING["bfloat16"]


@pytest.mark.parametrize("gradients", GRADIENTS)
def test_every_product_of_a_float32_step_asks_for_float32(gradients, splits):
    config = Config(
        hidden=("conv4x3", "res(conv4x3)", "8"),
        optimizer="muon",
        elastic=0.5,
        gradients=gradients,
        train_size=60,
        batch_size=20,
    )
    training = make_training(config, splits.image_shape, splits.num_classes)
    numbers = hyperparameters(config)
    state = jax.eval_shape(training.init, numbers)
    for function, arguments in {
        training.epoch: (numbers, state, splits.train),
        training.evaluate: (state.params, splits.test),
    }.items():
        for platform in ("cpu", "cuda", "tpu"):
            traced = jax.jit(function).trace(*arguments)
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            products = [line for line in text.splitlines() if " stablehlo.dot_general" in line]
            assert products
            assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
            convolutions = text.split("stablehlo.convolution(")[1:]
            assert bool(convolutions) == (platform != "cpu")
            for one in convolutions:
                assert one.split("\n")[0].count("precision HIGHEST") == 2


def test_a_run_in_bfloat16_keeps_float32_parameters(splits):
    config = Config(hidden=("8",), precision="bfloat16", train_size=60, batch_size=20)
    training = make_training(config, splits.image_shape, splits.num_classes)
    state = jax.jit(training.init)(hyperparameters(config))
    after, metrics = jax.jit(training.epoch)(hyperparameters(config), state, splits.train)
    assert {leaf.dtype for leaf in jax.tree.leaves((after.params, metrics))} == {jnp.dtype("f4")}
