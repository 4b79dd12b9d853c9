"""Losses: values worked out by hand, and derivatives against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.losses import LOSSES, smooth


def test_quadratic_of_outputs_worked_out_by_hand():
    # sigmoid(log 3) = 3/4, sigmoid(0) = 1/2: half of (1/4)^2 + (1/2)^2, then of (3/4)^2 + (1/2)^2.
    logits = jnp.array([[np.log(3.0), 0.0], [np.log(3.0), 0.0]])
    value = LOSSES["quadratic"].function(logits, jnp.array([0, 1]))
    np.testing.assert_allclose(value, [5 / 32, 13 / 32], rtol=1e-6)


def test_cross_entropy_of_outputs_worked_out_by_hand():
    # Equal logits give each of ten classes a tenth; logits (log 3, 0) give 3/4 and 1/4.
    value = LOSSES["cross_entropy"].function(jnp.zeros((1, 10)), jnp.array([7]))
    np.testing.assert_allclose(value, [np.log(10)], rtol=1e-6)
    logits = jnp.array([[np.log(3.0), 0.0]])
    value = LOSSES["cross_entropy"].function(logits, jnp.array([1]))
    np.testing.assert_allclose(value, [np.log(4)], rtol=1e-6)


def test_cross_entropy_of_huge_logits_is_finite():
    logits = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    value = LOSSES["cross_entropy"].function(logits, jnp.array([0, 0]))
    np.testing.assert_allclose(value, [0, 2e4])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_derivatives_are_slopes(name):
    function, derivative, *_ = LOSSES[name]
    with jax.enable_x64():
        rng, step = np.random.default_rng(0), 1e-5
        logits = jnp.asarray(rng.normal(size=(6, 4)))
        labels = jnp.asarray(rng.integers(0, 4, 6))
        for column in range(4):
            nudge = step * np.eye(4)[None, column]
            difference = function(logits + nudge, labels) - function(logits - nudge, labels)
            slopes = derivative(logits, labels)[:, column]
            np.testing.assert_allclose(slopes, difference / (2 * step), atol=1e-9)


def test_smoothed_cross_entropy_is_cross_entropy_of_smoothed_targets():
    logits, labels = jax.random.normal(jax.random.key(0), (5, 4)), jnp.array([0, 3, 1, 1, 2])
    function, derivative, *_ = smooth(LOSSES["cross_entropy"], 0.1)
    targets = 0.9 * np.eye(4)[labels] + 0.1 / 4
    log_p = np.asarray(jax.nn.log_softmax(logits))
    np.testing.assert_allclose(function(logits, labels), -(targets * log_p).sum(1), rtol=1e-5)
    np.testing.assert_allclose(derivative(logits, labels), np.exp(log_p) - targets, atol=1e-6)


def test_smoothing_moves_the_quadratic_gradient_as_smoothed_targets_do():
    logits, labels = jax.random.normal(jax.random.key(0), (5, 4)), jnp.array([0, 3, 1, 1, 2])
    derivative = smooth(LOSSES["quadratic"], 0.1).derivative
    a = np.asarray(jax.nn.sigmoid(logits))
    targets = 0.9 * np.eye(4)[labels] + 0.1 / 4
    np.testing.assert_allclose(derivative(logits, labels), (a - targets) * a * (1 - a), atol=1e-6)


def test_probabilities_worked_out_by_hand():
    # Sigmoid outputs 3/4 and 1/2 over their sum 5/4; softmax of log 3 and 0.
    logits = jnp.array([[np.log(3.0), 0.0]])
    quadratic, cross_entropy = (LOSSES[name] for name in ("quadratic", "cross_entropy"))
    np.testing.assert_allclose(quadratic.probabilities(logits), [[0.6, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(cross_entropy.probabilities(logits), [[0.75, 0.25]], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_probabilities_of_extreme_logits_are_finite_and_sum_to_one(name):
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [90.0, 90.0, 90.0]])
    probabilities = LOSSES[name].probabilities(logits)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(probabilities[1:], 1 / 3, rtol=1e-6)
