"""Optimizers and schedules: first updates as the papers' formulas give them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from digits_jax.layers import Affine
from digits_jax.optimizers import OPTIMIZERS, make_learning_rate, make_optimizer, takes

PARAMS = Affine(weights=jnp.array([[1.0, -2.0], [0.5, 4.0]]), biases=jnp.array([3.0, -1.0]))
GRADS = Affine(weights=jnp.array([[0.1, -0.2], [0.3, 0.4]]), biases=jnp.array([-0.5, 0.6]))
RATE = 0.1


def quick(names):
    """The names as parameters, most of them slow: a few of each kind show the same."""
    few = ("sgd", "momentum", "adam", "rmsprop", "lion", "muon")
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in names]


def updates(optimizer, steps=1):
    """The last of `steps` updates with the same gradients."""
    state = optimizer.init(PARAMS)
    for _ in range(steps):
        update, state = optimizer.update(GRADS, state, PARAMS)
    return update


def assert_close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-7)


def scaled(factor):
    return jax.tree.map(lambda gradient: factor * gradient, GRADS)


def signs():
    return jax.tree.map(jnp.sign, GRADS)


def test_sgd_goes_against_the_gradient():
    assert_close(updates(make_optimizer("sgd", RATE)), scaled(-RATE))


def test_momentum_sums_decayed_gradients():
    # v_3 = g (1 + m + m^2) (Polyak, 1964).
    optimizer = make_optimizer("momentum", RATE, momentum=0.5)
    assert_close(updates(optimizer, steps=3), scaled(-RATE * 1.75))


def test_nesterov_looks_one_step_ahead():
    # g + m v_2 with v_2 = g (1 + m) (Sutskever et al., 2013).
    optimizer = make_optimizer("nesterov", RATE, momentum=0.5)
    assert_close(updates(optimizer, steps=2), scaled(-RATE * 1.75))


def test_adam_and_lion_start_with_the_sign_of_the_gradient():
    for name in ("adam", "adamw", "lion"):
        update = updates(make_optimizer(name, RATE))
        assert_close(update, jax.tree.map(lambda sign: -RATE * sign, signs()))


def test_muon_turns_as_the_gradient_does_and_stretches_every_way_alike():
    rng = np.random.default_rng(0)
    for shape in ((8, 20), (20, 8)):
        left, _, right = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
        gradient = (left * np.geomspace(1, 0.1, 8)) @ right
        params = Affine(jnp.zeros(shape), jnp.zeros(shape[0]))
        grads = Affine(jnp.asarray(gradient, jnp.float32), jnp.ones(shape[0]))
        optimizer = make_optimizer("muon", RATE)
        update, _ = optimizer.update(grads, optimizer.init(params), params)
        stretched = left.T @ np.asarray(update.weights, np.float64) @ right.T
        lengths = -np.diag(stretched) / (RATE * 0.2 * np.sqrt(20))
        assert lengths.min() > 0.6
        assert lengths.max() < 1.3
        assert np.abs(stretched - np.diag(np.diag(stretched))).max() < 1e-4 * RATE
        biases = optax.nadam(RATE)
        expected, _ = biases.update(grads.biases, biases.init(params.biases))
        np.testing.assert_allclose(update.biases, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_coupled_weight_decay_adds_to_the_gradient_of_weights_alone(name):
    plain, decayed = (
        updates(make_optimizer(name, RATE, momentum=0.5, weight_decay=decay))
        for decay in (None, 0.01)
    )
    factor = 1.5 if name == "nesterov" else 1.0
    assert_close(
        decayed,
        Affine(plain.weights - RATE * 0.01 * factor * PARAMS.weights, plain.biases),
    )


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_decoupled_weight_decay_stands_beside_the_update(name):
    plain, decayed = (
        updates(make_optimizer(name, RATE, weight_decay=decay)) for decay in (None, 0.01)
    )
    assert_close(decayed, Affine(plain.weights - RATE * 0.01 * PARAMS.weights, plain.biases))


def test_clipping_shortens_a_long_gradient_and_leaves_a_short_one():
    length = np.sqrt(sum(float(jnp.sum(g**2)) for g in GRADS))
    clipped = updates(make_optimizer("sgd", RATE, clip_norm=length / 4))
    assert_close(clipped, scaled(-RATE / 4))
    assert_close(updates(make_optimizer("sgd", RATE, clip_norm=2 * length)), scaled(-RATE))


@pytest.mark.parametrize("name", quick(sorted(OPTIMIZERS)))
def test_numbers_may_be_traced(name):
    @jax.jit
    def step(rate, momentum, decay, clip):
        optimizer = make_optimizer(name, rate, momentum, decay, clip)
        update, _ = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
        return optax.apply_updates(PARAMS, update)

    assert jnp.isfinite(step(0.1, 0.9, 0.01, 1.0).weights).all()
    assert not jnp.array_equal(step(0.1, 0.9, 0.01, 1.0).weights, step(0.2, 0.9, 0.01, 1.0).weights)


def test_schedules_pass_through_their_landmarks():
    cosine = make_learning_rate("cosine", 3.0, warmup_steps=10, total_steps=100)
    landmarks = [float(cosine(step)) for step in (0, 50, 100)]
    assert landmarks == pytest.approx([3.0, 1.5, 0.0], abs=1e-6)
    warmup = make_learning_rate("warmup_cosine", 3.0, warmup_steps=10, total_steps=100)
    landmarks = [float(warmup(step)) for step in (0, 5, 10, 55, 100)]
    assert landmarks == pytest.approx([0.0, 1.5, 3.0, 1.5, 0.0], abs=1e-6)
    assert make_learning_rate("constant", 3.0, warmup_steps=10, total_steps=100) == 3.0


def test_adam_has_the_betas_and_epsilon_that_are_given():
    # m_2 = (1 - b1^2) g and v_2 = (1 - b2^2) g^2 where g stays the same, so that corrected for
    # their bias every step is g / (|g| + epsilon) (Kingma and Ba, 2015); after a second gradient of
    # zero, m = b1 (1 - b1) g / (1 - b1^2) and v = b2 (1 - b2) g^2 / (1 - b2^2).
    numbers = {"beta1": 0.5, "beta2": 0.8, "epsilon": 0.1}
    optimizer = make_optimizer("adam", RATE, **numbers)
    assert_close(
        updates(optimizer, steps=2), jax.tree.map(lambda g: -RATE * g / (jnp.abs(g) + 0.1), GRADS)
    )
    _, state = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
    update, _ = optimizer.update(scaled(0.0), state, PARAMS)
    mean, square = 0.5 * 0.5 / 0.75, 0.8 * 0.2 / 0.36
    expected = jax.tree.map(lambda g: -RATE * mean * g / (square**0.5 * jnp.abs(g) + 0.1), GRADS)
    assert_close(update, expected)


@pytest.mark.parametrize("name", quick(sorted(filter(takes, OPTIMIZERS))))
def test_every_number_that_an_optimizer_takes_changes_its_steps(name):
    @jax.jit
    def moved(numbers):
        optimizer = make_optimizer(name, RATE, **numbers)

        def step(state, key):
            grads = jax.tree.map(lambda p: jax.random.normal(key, p.shape), PARAMS)
            update, state = optimizer.update(grads, state, PARAMS)
            return state, update.weights

        keys = jax.random.split(jax.random.key(0), 10)
        return jax.lax.scan(step, optimizer.init(PARAMS), keys)[1].sum(0)

    for number in takes(name):
        small, large = (
            {"epsilon": n / 10} if number == "epsilon" else {number: n} for n in (0.8, 0.95)
        )
        assert not jnp.array_equal(moved(small), moved(large)), number
