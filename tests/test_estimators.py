"""Estimators of a gradient: against what theory says of them, and networks that jax.grad sees."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, hyperparameters, make_training
from digits_jax.activations import ACTIVATIONS
from digits_jax.estimators import ESTIMATORS, with_feedback
from digits_jax.gradients import autodiff, make_mean_loss, manual
from digits_jax.layers import activation
from digits_jax.losses import LOSSES
from digits_jax.models import stack

KEY = jax.random.key(5)
WORDS = {"dense": ("9", "7", "8"), "convolution": ("conv4x3/2", "max2", "conv5", "6")}


def problem(words, f="tanh", loss="cross_entropy", shape=(10, 9), classes=3):
    """A network, its loss, and parameters, images and labels."""
    model = stack(words, activation(f, ACTIVATIONS[f]), shape, classes)
    images = jax.random.uniform(jax.random.key(1), (6, *shape))
    params = jax.jit(model.init)(jax.random.key(0))
    arguments = params, images, jnp.arange(6, dtype=jnp.int32) % classes
    return model, LOSSES[loss], arguments


def of(layer, p, a):
    """The output of a layer that has no state."""
    return layer.forward(p, (), a, None)[0]


def flat(gradient):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


def assert_near(way, other, arguments):
    """That two ways to a gradient come to the same."""
    actual, expected = (jax.jit(each)(*arguments) for each in (way, other))
    np.testing.assert_allclose(flat(actual[0]), flat(expected[0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(flat(actual[1]), flat(expected[1]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_feedback_by_the_weights_themselves_is_back_propagation_to_the_bit(words):
    model, loss, arguments = problem(words)
    aligned = jax.jit(with_feedback(model, loss, lambda n, p: p))(*arguments)
    for actual, expected in zip(
        jax.tree.leaves(aligned),
        jax.tree.leaves(jax.jit(manual(model, loss))(*arguments)),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)


def test_a_layer_without_a_pullback_of_its_own_is_pulled_back_by_jax():
    model, loss, arguments = problem(("9", "7"), f="silu")
    way = with_feedback(model, loss, lambda n, p: p)
    assert_near(way, autodiff(model, loss), arguments)


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_feedback_alignment_is_the_gradient_where_layers_are_what_they_are_and_look_random(words):
    """Each layer gives W a + b; for jax.grad it depends on a by another W, which is drawn anew."""
    model, loss, arguments = problem(words)
    others = jax.jit(model.init)(jax.random.key(7))

    def looks_other(layer, other):
        def forward(p, a):
            if not p:
                return of(layer, p, a)
            seen = of(layer, other, a)
            fixed = of(layer, p, jax.lax.stop_gradient(a))
            return fixed + seen - jax.lax.stop_gradient(seen)

        return forward

    forwards = [looks_other(*pair) for pair in zip(model.layers, others, strict=True)]

    def forward(params, state, images, key):
        a = images[None]
        for forward, p in zip(forwards, params, strict=True):
            a = forward(p, a)
        return a.T, (), state

    way = with_feedback(model, loss, lambda n, p: others[n])
    assert_near(way, autodiff(model._replace(forward=forward), loss), arguments)


def test_feedback_alignment_draws_its_weights_as_lecun_normal_does():
    model, loss, arguments = problem(("9",))

    def feedback(n, p):
        noise = jax.random.normal(jax.random.fold_in(KEY, n), p.weights.shape)
        return p._replace(weights=noise / jnp.sqrt(p.weights.shape[1]))

    way = ESTIMATORS["feedback_alignment"](model, loss, KEY, 0, 1)
    assert_near(way, with_feedback(model, loss, feedback), arguments)


def sent_by(n, a, classes):
    """The matrix by which layer n is sent the outputs' delta: [*shape of its input, classes]."""
    shape = (len(a), *a.shape[2:], classes)
    return jax.random.normal(jax.random.fold_in(KEY, n), shape) / jnp.sqrt(classes)


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_direct_feedback_alignment_is_the_gradient_of_the_sum_of_what_is_sent(words):
    """Of C for the last layer, and of <B e, a> for those before each layer with parameters."""
    model, loss, arguments = problem(words)
    mean_loss = make_mean_loss(model, loss)

    def surrogate(params, images, labels):
        _, logits = mean_loss(params, images, labels)
        e = loss.derivative(jax.lax.stop_gradient(logits), labels).T / len(labels)
        a, total = images[None], 0.0
        for n, (layer, p) in enumerate(zip(model.layers, params, strict=True)):
            if p and n:
                sent = jnp.einsum("i...k,kb->ib...", sent_by(n, a, len(e)), e)
                total, a = total + jnp.sum(sent * a), jax.lax.stop_gradient(a)
            a = of(layer, p, a)
        return total + jnp.mean(loss.function(a.T, labels))

    def expected(*arguments):
        return mean_loss(*arguments), jax.grad(surrogate)(*arguments)

    assert_near(
        ESTIMATORS["direct_feedback_alignment"](model, loss, KEY, 0, 1), expected, arguments
    )


def test_with_one_hidden_layer_direct_feedback_is_feedback_by_the_transpose():
    model, loss, arguments = problem(("9",))
    direct = ESTIMATORS["direct_feedback_alignment"](model, loss, KEY, 0, 1)

    def feedback(n, p):
        matrix = sent_by(n, jnp.zeros((p.weights.shape[1], 6)), len(p.weights))
        return p._replace(weights=matrix.T)

    assert_near(direct, with_feedback(model, loss, feedback), arguments)


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("name", ["forward_gradient", "evolution"])
def test_the_mean_over_directions_comes_near_the_gradient_at_the_rate_of_theory(name, count):
    """E |g - dC/dtheta|^2 = (d + 1) / N |dC/dtheta|^2, and E g = dC/dtheta."""
    model, loss, arguments = problem(("4",), shape=(3, 3))
    (expected, _), exact = jax.jit(autodiff(model, loss))(*arguments)
    exact, steps = flat(exact), 4000

    @jax.jit
    @functools.partial(jax.vmap, in_axes=0)
    def estimates(step):
        (value, _), gradient = ESTIMATORS[name](model, loss, KEY, step, count)(*arguments)
        return value, jax.flatten_util.ravel_pytree(gradient)[0]

    values, found = map(np.asarray, estimates(jnp.arange(steps)))
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    of_one = np.mean(np.sum((found - exact) ** 2, axis=1)) / np.sum(exact**2)
    of_all = np.sum((found.mean(axis=0) - exact) ** 2) / np.sum(exact**2)
    assert of_one == pytest.approx((exact.size + 1) / count, rel=0.1)
    assert of_all < 2 * (exact.size + 1) / (count * steps)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_matrices_stay_and_directions_change_with_the_step_and_both_with_the_seed(name):
    model, loss, arguments = problem(("4",), shape=(3, 3))
    keys = [(KEY, 3), (KEY, 4), (jax.random.key(6), 3)]

    @jax.jit
    def estimate(key, step):
        return ESTIMATORS[name](model, loss, key, step, 2)(*arguments)[1]

    first, later, other = (flat(estimate(*pair)) for pair in keys)
    assert np.array_equal(first, later) == name.endswith("alignment")
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_in_training_what_the_hidden_layer_is_given_turns_towards_the_gradient(name, tiny_split):
    """The angle is near 90 degrees at first, on both sides of it, and below it in the end."""
    images, labels = tiny_split(60)
    digits = Dataset(jnp.asarray(images), jnp.asarray(labels, jnp.int32))
    config = Config(
        train_size=60, hidden=(20,), batch_size=10, epochs=30, gradients=name, learning_rate=1.0
    )
    training = make_training(config, (5, 7), 3)
    arguments = digits.images / 255, digits.labels

    @jax.jit
    @jax.vmap
    def cosines(seed):
        numbers = hyperparameters(config)._replace(seed=seed)
        key = jax.random.fold_in(jax.random.key(seed), 2)
        pair = [
            ESTIMATORS[name](training.model, LOSSES[config.loss], key, 0, 1),
            autodiff(training.model, LOSSES[config.loss]),
        ]

        def cosine(params):
            first, second = (way(params, *arguments)[1][1].weights for way in pair)
            return jnp.vdot(first, second) / jnp.linalg.norm(first) / jnp.linalg.norm(second)

        start, (end, _) = training.init(numbers), training.run(numbers, digits)
        return cosine(start.params), cosine(end.params)

    before, after = cosines(jnp.arange(16, dtype=jnp.uint32))
    print(np.degrees(np.arccos(before)), np.degrees(np.arccos(after)))
    assert before.min() < 0 < before.max()
    assert after.min() > 0
