"""Checks of one's own: what is right passes, and each planted mistake is called by its name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import gradients, layers
from digits_jax.activations import ACTIVATIONS, Activation
from digits_jax.checking import check_activation, check_gradient, check_layer, check_loss
from digits_jax.checking.mistakes import LOSS_MISTAKES, MISTAKES, planted, planted_in
from digits_jax.layers import Affine, Layer, plain
from digits_jax.layers.attention import attention
from digits_jax.layers.convolutional import depthwise
from digits_jax.layers.masks import dropout
from digits_jax.layers.normalisation import batch_norm, layer_norm, rms_norm
from digits_jax.layers.pooling import average_pool, last, mean
from digits_jax.layers.recurrence import gru, lstm, rnn
from digits_jax.losses import LOSSES
from digits_jax.models import stack

SHAPE, CLASSES = (4, 3), 4
EXAMPLES = {
    "dense": (layers.dense(4), (7,)),
    "tanh": (layers.activation("tanh", ACTIVATIONS["tanh"]), (7,)),
    "flatten": (layers.flatten(), (2, 3, 4)),
    "dropout": (dropout(40), (6,)),
    "last": (last(), (2, 3, 4)),
    "mean": (mean(), (2, 3, 4)),
    "max-pool": (layers.max_pool(2), (2, 5, 7)),
    "average-pool": (average_pool(2), (2, 5, 7)),
    "convolution": (layers.convolution(4, 3, 2), (2, 5, 7)),
    "depthwise": (depthwise(3, 2), (2, 5, 4)),
    "batch-norm": (batch_norm(), (2, 3, 4)),
    "layer-norm": (layer_norm(), (5, 2, 2)),
    "rms-norm": (rms_norm(), (5, 2, 2)),
    "attention": (attention(2), (4, 2, 3)),
    "rnn": (rnn(3), (1, 4, 3)),
    "gru": (gru(3), (1, 4, 3)),
    "lstm": (lstm(3), (1, 4, 3)),
}
QUICK = ("dense", "tanh", "flatten", "dropout", "last")
PLANTED = [
    pytest.param(name, kind, marks=() if kind in QUICK else pytest.mark.slow)
    for name, mistake in MISTAKES.items()
    for kind in mistake.kinds
    if kind in EXAMPLES
]
KINDS = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in EXAMPLES]


@pytest.mark.parametrize(("name", "kind"), PLANTED)
def test_a_planted_mistake_is_called_by_its_name(name, kind):
    layer, shape = EXAMPLES[kind]
    found = check_layer(planted_in(layer, MISTAKES[name]), shape)
    words = "all zeros" if name == "off_by_one" else MISTAKES[name].words
    assert found.wrong, found
    assert all(words in finding.message for finding in found.wrong), found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_is_right_in_every_array(kind):
    layer, shape = EXAMPLES[kind]
    found = check_layer(layer, shape)
    assert found.ok, found
    assert "a" in {finding.array[-1] for finding in found.findings}


def test_at_least_two_mistakes_are_known_for_every_kind_of_layer():
    for kind in set(EXAMPLES) - {"flatten", "depthwise"}:
        assert sum(kind in mistake.kinds for mistake in MISTAKES.values()) >= 2, kind


def test_a_network_with_every_studied_mistake_is_explained_by_it():
    sigmoid = layers.activation("sigmoid", ACTIVATIONS["sigmoid"])
    model, loss = stack(("5", "6"), sigmoid, SHAPE, CLASSES), LOSSES["quadratic"]
    for name in ("activation_derivative", "batch_mean", "transposed_weights", "off_by_one"):

        def make(model, loss, name=name):
            return gradients.manual(*planted(name, model, loss))

        found = check_gradient(make, model, loss, SHAPE, CLASSES)
        words = "all zeros" if name == "off_by_one" else (LOSS_MISTAKES | MISTAKES)[name].words
        assert found.wrong, name
        assert all(words in finding.message for finding in found.wrong), found


def test_two_mistakes_at_once_are_told_apart():
    sigmoid = layers.activation("sigmoid", ACTIVATIONS["sigmoid"])
    model, loss = stack(("5",), sigmoid, SHAPE, CLASSES), LOSSES["quadratic"]

    def make(model, loss):
        return gradients.manual(
            *planted("activation_derivative", *planted("batch_mean", model, loss))
        )

    first, last = {}, {}
    for finding in check_gradient(make, model, loss, SHAPE, CLASSES).wrong:
        (first if finding.where == "dense1" else last)[finding.array] = finding.message
    assert set(last.values()) == {"BP1 forgets to divide by the batch size"}
    assert all(
        "BP1 forgets" in text and "forgets the factor f'(z)" in text for text in first.values()
    )


def loops(model, loss):
    """Back-propagation of one hidden layer of sigmoid units in plain NumPy loops."""

    def value_and_grad(params, images, labels):
        (w1, b1), (w2, b2) = ((np.asarray(p.weights), np.asarray(p.biases)) for p in params if p)
        grads, total, logits = [np.zeros_like(x) for x in (w1, b1, w2, b2)], 0.0, []
        for image, label in zip(np.asarray(images), labels, strict=True):
            x, y = image.reshape(-1), np.eye(len(b2))[label]
            h = 1 / (1 + np.exp(-(w1 @ x + b1)))
            z = w2 @ h + b2
            out = 1 / (1 + np.exp(-z))
            total += ((out - y) ** 2).sum() / 2
            logits.append(z)
            delta = (out - y) * out * (1 - out)
            below = w2.T @ delta * h * (1 - h)
            for grad, own in zip(
                grads, (np.outer(below, x), below, np.outer(delta, h), delta), strict=True
            ):
                grad += own / len(labels)
        affine = Affine(*grads[:2]), (), Affine(*grads[2:])
        places = iter([affine[0], affine[2]])
        made = tuple(next(places) if p else () for p in params)
        return (total / len(labels), np.array(logits)), made

    return value_and_grad


def test_plain_numpy_loops_are_checked_as_they_are():
    sigmoid = layers.activation("sigmoid", ACTIVATIONS["sigmoid"])
    model = stack(("5",), sigmoid, SHAPE, CLASSES)
    assert check_gradient(loops, model, None, SHAPE, CLASSES).ok

    def wrong(model, loss):
        def value_and_grad(*arguments):
            value, grads = loops(model, loss)(*arguments)
            return value, jax.tree.map(lambda x: x.T, grads)

        return value_and_grad

    found = check_gradient(wrong, model, None, SHAPE, CLASSES)
    texts = {finding.message for finding in found.wrong}
    assert texts == {
        "yours is [12, 5], W is [5, 12]: transposed; its numbers are right",
        "yours is [5, 4], W is [4, 5]: transposed; its numbers are right",
    }


def test_a_forward_in_numpy_is_compared_with_central_differences():
    def forward(p, a):
        return np.tanh(np.asarray(a))

    right = plain(
        "mine", lambda s: ((), s), forward, lambda p, a, d: ((), d * (1 - np.tanh(a) ** 2))
    )
    assert check_layer(right, (4,)).ok
    wrong = plain("mine", lambda s: ((), s), forward, lambda p, a, d: ((), d))
    assert not check_layer(wrong, (4,)).ok


def test_the_third_witness_says_whose_side_is_right():
    def stopped(p, a):
        return jnp.sin(jax.lax.stop_gradient(a)) + a

    mine = plain("mine", lambda s: ((), s), stopped, lambda p, a, d: ((), d * (jnp.cos(a) + 1)))
    found = check_layer(mine, (4,))
    assert found.ok
    assert "central differences agree; jax.grad of its forward does not" in str(found)
    fooled = mine._replace(pullback=lambda p, kept, delta: ((), delta))
    found = check_layer(fooled, (4,))
    assert not found.ok
    assert "central differences disagree with both" in str(found)


@pytest.mark.parametrize(
    ("pullback", "words"),
    [
        (
            lambda p, a, d: (Affine(a @ d.T, d.sum(1)), p.weights.T @ d),
            "transposed; its numbers are",
        ),
        (
            lambda p, a, d: (Affine(d @ a.T, d), p.weights.T @ d),
            "not summed over the batch; the sum",
        ),
        (lambda p, a, d: (Affine(d @ a.T, d.mean(1)), p.weights.T @ d), "divided by 5, the batch"),
        (lambda p, a, d: (d @ a.T, p.weights.T @ d), "has to be made like the parameters: Affine("),
        (lambda p, a, d: None, "returns nothing yet: write it"),
        (lambda p, a, d: d.nothing, "the pullback raises AttributeError"),
        (lambda p, a, d: (Affine(d @ a.T, d.sum(1)), 0.3 * p.weights.T @ d), "multiplied by 0.3"),
    ],
)
def test_wrong_shapes_and_factors_are_told_in_words(pullback, words):
    found = check_layer(layers.dense(4)._replace(pullback=pullback), (7,))
    assert not found.ok
    assert words in str(found)


def test_another_subgradient_at_a_tie_is_right():
    def to_the_first(p, a, delta):
        channels, batch, rows, columns = delta.shape
        seen = a[:, :, : 2 * rows, : 2 * columns].reshape(channels, batch, rows, 2, columns, 2)
        flat = seen.swapaxes(3, 4).reshape(channels, batch, rows, columns, 4)
        chosen = jax.nn.one_hot(flat.argmax(-1), 4, dtype=a.dtype) * delta[..., None]
        back = chosen.reshape(channels, batch, rows, columns, 2, 2).swapaxes(3, 4)
        back = back.reshape(channels, batch, 2 * rows, 2 * columns)
        return (), jnp.zeros_like(a).at[:, :, : 2 * rows, : 2 * columns].set(back)

    found = check_layer(layers.max_pool(2)._replace(pullback=to_the_first), (2, 5, 7))
    assert found.ok, found
    assert "at kinks and ties only" in str(found)


def test_losses_and_activations_are_explained_too():
    for name, mistake in LOSS_MISTAKES.items():
        of = "cross_entropy" if "softmax" in name or name == "other_quadratic" else "quadratic"
        wrong = functools.partial(mistake.derivative, LOSSES[of])
        found = check_loss(LOSSES[of]._replace(derivative=wrong))
        assert mistake.words in str(found), (name, str(found))
    assert all(check_loss(loss).ok for loss in LOSSES.values())
    found = check_activation(Activation(jnp.tanh, lambda z: 1 - z**2))
    assert not found.ok
    overflows = Activation(jax.nn.softplus, lambda z: jnp.exp(z) / (1 + jnp.exp(z)))
    assert "far from 0" in str(check_activation(overflows))
    rare = LOSSES["quadratic"]

    def wrong_for_3(logits, labels):
        return jnp.where((labels == 3)[:, None], 7.0, 1.0) * rare.derivative(logits, labels)

    assert "label is 3 only" in str(check_loss(rare._replace(derivative=wrong_for_3)))


def test_what_was_not_checked_is_not_ok():
    silu = check_activation(ACTIVATIONS["silu"], "silu")
    assert not silu.ok
    assert not silu.wrong
    nothing = Layer("mine", lambda s: ((), s), lambda p, s, a, k: (a, a, s), None)
    assert not check_layer(nothing).ok
