"""The multi-layer perceptron: its shapes, its initial parameters, its output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.activations import ACTIVATIONS
from digits_jax.layers import Affine, activation
from digits_jax.models import count_parameters, describe, lecun_normal, stack, standard_normal

RELU, SIGMOID, TANH = (activation(name, ACTIVATIONS[name]) for name in ("relu", "sigmoid", "tanh"))


def test_the_classic_network_has_23860_parameters():
    model = stack((30,), SIGMOID, (28, 28), 10)
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert [layer.weights.shape for layer in params if layer] == [(30, 784), (10, 30)]
    assert count_parameters(params) == 784 * 30 + 30 + 30 * 10 + 10 == 23_860


def test_lecun_normal_has_unit_variance_over_its_inputs():
    noise = jax.random.normal(jax.random.key(0), (300, 785))
    weights, biases = lecun_normal(noise)
    assert jnp.std(weights) * 28 == pytest.approx(1, rel=0.01)
    assert jnp.mean(weights) == pytest.approx(0, abs=3 / 28 / np.sqrt(784 * 300))
    assert not biases.any()


def test_standard_normal_weights_and_biases():
    noise = jax.random.normal(jax.random.key(0), (1_000, 201))
    weights, biases = standard_normal(noise)
    assert jnp.std(weights) == pytest.approx(1, rel=0.01)
    assert jnp.std(biases) == pytest.approx(1, rel=0.1)


def test_layers_of_one_shape_are_drawn_apart():
    params = stack((9,), TANH, (3, 3), 9).init(jax.random.key(0))
    assert not jnp.isin(params[1].weights, params[3].weights).any()


def test_logits_worked_out_by_hand():
    params = (
        (),  # from pixels to columns
        Affine(jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.array([0.5, 0.0])),
        (),  # relu
        Affine(jnp.array([[2.0, 1.0], [-1.0, 3.0]]), jnp.array([0.0, 1.0])),
    )
    images = jnp.array([[[1.0, 1.0]], [[0.0, 2.0]]])
    # Hidden: relu(3.5, -1) = (3.5, 0), relu(4.5, -2) = (4.5, 0).
    logits = stack((2,), RELU, (1, 2), 2).apply(params, images)
    np.testing.assert_array_equal(logits, [[7.0, -2.5], [9.0, -3.5]])


def test_without_hidden_layers_the_model_is_affine():
    model = stack((), TANH, (2, 2), 3)
    params = model.init(jax.random.key(0))
    images = jax.random.uniform(jax.random.key(1), (5, 2, 2))
    expected = np.asarray(images).reshape(5, 4) @ np.asarray(params[1].weights).T
    np.testing.assert_allclose(model.apply(params, images), expected, rtol=1e-5, atol=1e-6)


def test_a_network_is_named_by_what_it_is_made_of():
    assert describe((30,), (28, 28), 10) == describe(("30",), (28, 28), 10) == "784-30-10"
    assert describe((), (2, 3), 4) == "6-4"
