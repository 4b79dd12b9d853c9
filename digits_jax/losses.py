"""Losses of logits and labels, each with its derivative derived by hand and its probabilities."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from digits_jax.activations import sigmoid_derivative


class Loss(NamedTuple):
    """The loss of each example of a batch, and its derivative with respect to the logits.

    `probabilities` reads logits as the network means them under this loss: one for each class,
    with sum 1. `outputs` says in words what they are.
    """

    function: Callable[
        [Float[Array, "batch classes"], Int[Array, " batch"]], Float[Array, " batch"]
    ]
    derivative: Callable[
        [Float[Array, "batch classes"], Int[Array, " batch"]], Float[Array, "batch classes"]
    ]
    probabilities: Callable[[Float[Array, "batch classes"]], Float[Array, "batch classes"]]
    outputs: str


def quadratic(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """Half the squared distance of sigmoid outputs from one-hot labels: |sigma(z) - y|^2 / 2."""
    return jnp.sum((jax.nn.sigmoid(logits) - _one_hot(labels, logits)) ** 2, axis=-1) / 2


def quadratic_derivative(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, "batch classes"]:
    """(sigma(z) - y) sigma'(z) (Rumelhart, Hinton and Williams, 1986, equations 4 and 5)."""
    return (jax.nn.sigmoid(logits) - _one_hot(labels, logits)) * sigmoid_derivative(logits)


def quadratic_probabilities(logits: Float[Array, "batch classes"]) -> Float[Array, "batch classes"]:
    """The sigmoid outputs divided by their sum; by logarithms, so that all may be tiny."""
    return jax.nn.softmax(jax.nn.log_sigmoid(logits), axis=-1)


def cross_entropy(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """Softmax cross-entropy -log softmax(z)_y, in nats."""
    loss: Float[Array, " batch"] = optax.softmax_cross_entropy(logits, _one_hot(labels, logits))
    return loss


def cross_entropy_derivative(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, "batch classes"]:
    """softmax(z) - y (Bridle, 1990)."""
    return jnp.exp(jax.nn.log_softmax(logits)) - _one_hot(labels, logits)


def cross_entropy_probabilities(
    logits: Float[Array, "batch classes"],
) -> Float[Array, "batch classes"]:
    """softmax(z) (Bridle, 1990)."""
    return jax.nn.softmax(logits, axis=-1)


def smooth(loss: Loss, amount: float | Float[Array, ""]) -> Loss:
    """Label smoothing: the loss expected where a label becomes a random class with `amount` odds.

    For cross-entropy this is the loss of Szegedy et al., 2016, section 7; for the quadratic loss
    its gradient is that of smoothed targets.
    """

    def mixed(function: Callable[..., Array]) -> Callable[..., Array]:
        def mixture(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> Array:
            classes = jnp.arange(logits.shape[-1])
            every = jax.vmap(lambda label: function(logits, jnp.full_like(labels, label)))(classes)
            return (1 - amount) * function(logits, labels) + amount * every.mean(axis=0)

        return mixture

    return loss._replace(function=mixed(loss.function), derivative=mixed(loss.derivative))


def weighted(loss: Loss, weights: Float[Array, " classes"]) -> Loss:
    """The loss and its derivative times the weight of each example's class."""
    return loss._replace(
        function=lambda logits, labels: weights[labels] * loss.function(logits, labels),
        derivative=lambda z, labels: weights[labels][:, None] * loss.derivative(z, labels),
    )


def _one_hot(
    labels: Int[Array, " batch"], logits: Float[Array, "batch classes"]
) -> Float[Array, "batch classes"]:
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)


LOSSES = {
    "quadratic": Loss(
        quadratic,
        quadratic_derivative,
        quadratic_probabilities,
        outputs="sigmoid outputs divided by their sum",
    ),
    "cross_entropy": Loss(
        cross_entropy,
        cross_entropy_derivative,
        cross_entropy_probabilities,
        outputs="softmax of the logits",
    ),
}
