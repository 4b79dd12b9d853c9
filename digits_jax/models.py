"""Models: pairs of pure functions over a pytree of parameters."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from digits_jax.activations import Elementwise


class Layer(NamedTuple):
    """An affine map x -> W x + b.

    Weights are [out, in]: at small batches XLA's CPU backend trains faster than with [in, out].
    """

    weights: Float[Array, "out in"]
    biases: Float[Array, " out"]


Params = tuple[Layer, ...]


class Model(NamedTuple):
    """A pair of pure functions: parameters from a key, logits from parameters and images."""

    init: Callable[[Key[Array, ""]], Params]
    apply: Callable[[Params, Float[Array, "batch height width"]], Float[Array, "batch classes"]]


Initializer = Callable[[Key[Array, ""], int, int], Layer]


def lecun_normal(key: Key[Array, ""], inputs: int, outputs: int) -> Layer:
    """Weights normal with standard deviation 1/sqrt(inputs), biases zero.

    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, equation 16.
    """
    return Layer(jax.random.normal(key, (outputs, inputs)) / math.sqrt(inputs), jnp.zeros(outputs))


def standard_normal(key: Key[Array, ""], inputs: int, outputs: int) -> Layer:
    """Weights and biases standard normal (Nielsen, Neural Networks and Deep Learning, 2015)."""
    weights_key, biases_key = jax.random.split(key)
    return Layer(
        jax.random.normal(weights_key, (outputs, inputs)), jax.random.normal(biases_key, (outputs,))
    )


INITIALIZERS: dict[str, Initializer] = {
    "lecun_normal": lecun_normal,
    "standard_normal": standard_normal,
}


def mlp(
    sizes: Sequence[int], activation: Elementwise, initializer: Initializer = lecun_normal
) -> Model:
    """A multi-layer perceptron: affine layers with an activation between them, none after the last.

    Args:
        sizes: units of each layer, from pixels to classes: (784, 30, 10) for the classic network.
        activation: the elementwise function after every hidden layer.
        initializer: draws one layer.
    """

    def init(key: Key[Array, ""]) -> Params:
        layers = itertools.pairwise(sizes)
        return tuple(
            initializer(jax.random.fold_in(key, index), inputs, outputs)
            for index, (inputs, outputs) in enumerate(layers)
        )

    def apply(
        params: Params, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch classes"]:
        *hidden, output = params
        a = images.reshape(len(images), -1)
        for layer in hidden:
            a = activation(affine(layer, a))
        return affine(output, a)

    return Model(init, apply)


def affine(layer: Layer, x: Float[Array, "batch in"]) -> Float[Array, "batch out"]:
    """x W^T + b, for a batch of rows x."""
    return x @ layer.weights.T + layer.biases[None, :]


def count_parameters(params: Params) -> int:
    """Number of weights and biases."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
