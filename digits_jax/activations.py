"""Activation functions, each beside its derivative derived by hand."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

Elementwise = Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]


class Activation(NamedTuple):
    """An elementwise function of z and its derivative at z; `None` where nobody derived one."""

    function: Elementwise
    derivative: Elementwise | None


def sigmoid_derivative(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sigma'(z) = sigma(z) (1 - sigma(z))."""
    return jax.nn.sigmoid(z) * (1 - jax.nn.sigmoid(z))


def tanh_derivative(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """tanh'(z) = 1 - tanh(z)^2."""
    return 1 - jnp.tanh(z) ** 2


def relu_derivative(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 where z > 0, else 0; at the kink the subgradient 0, as `jax.nn.relu` takes it."""
    return (z > 0).astype(z.dtype)


def gelu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z Phi(z), with the exact normal distribution Phi (Hendrycks and Gimpel, 2016, equation 1)."""
    return jax.nn.gelu(z, approximate=False)


def gelu_derivative(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """(z Phi(z))' = Phi(z) + z phi(z)."""
    return norm.cdf(z) + z * norm.pdf(z)


ACTIVATIONS = {
    "sigmoid": Activation(jax.nn.sigmoid, sigmoid_derivative),
    "tanh": Activation(jnp.tanh, tanh_derivative),
    "relu": Activation(jax.nn.relu, relu_derivative),
    "gelu": Activation(gelu, gelu_derivative),
    # Left to automatic differentiation alone: what a new activation costs there is this line.
    "silu": Activation(jax.nn.silu, None),
}
