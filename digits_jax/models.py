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
    """An affine map a -> W a + b."""

    weights: Float[Array, "out in"]
    biases: Float[Array, " out"]


Params = tuple[Layer, ...]


class Model(NamedTuple):
    """A pair of pure functions: parameters from a key, logits from parameters and images."""

    init: Callable[[Key[Array, ""]], Params]
    apply: Callable[[Params, Float[Array, "batch height width"]], Float[Array, "batch classes"]]


# From standard normal noise, a row [inputs + 1] for each output, to a layer.
Initializer = Callable[[Float[Array, "out columns"]], Layer]


def lecun_normal(noise: Float[Array, "out columns"]) -> Layer:
    """Weights normal with standard deviation 1/sqrt(inputs), biases zero.

    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, equation 16.
    """
    outputs, columns = noise.shape
    return Layer(noise[:, :-1] / math.sqrt(columns - 1), jnp.zeros(outputs, noise.dtype))


def standard_normal(noise: Float[Array, "out columns"]) -> Layer:
    """Weights and biases standard normal (Nielsen, Neural Networks and Deep Learning, 2015)."""
    return Layer(noise[:, :-1], noise[:, -1])


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
        initializer: makes each layer from normal noise.
    """

    def init(key: Key[Array, ""]) -> Params:
        shapes = [(outputs, inputs + 1) for inputs, outputs in itertools.pairwise(sizes)]
        # One draw for all layers: XLA takes 0.2 s to compile each.
        ends = list(itertools.accumulate(map(math.prod, shapes)))
        noise = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
        return tuple(
            initializer(part.reshape(shape)) for part, shape in zip(noise, shapes, strict=True)
        )

    def apply(
        params: Params, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch classes"]:
        *hidden, output = params
        a = images.reshape(len(images), -1).T
        for layer in hidden:
            a = activation(affine(layer, a))
        return affine(output, a).T

    return Model(init, apply)


def affine(layer: Layer, a: Float[Array, "in batch"]) -> Float[Array, "out batch"]:
    """W a + b, for a batch of columns a.

    Examples are columns, as in the equations: the gradient of W is then a plain product of rows by
    columns, which XLA's CPU backend computes in half the time that it takes with examples as rows.
    """
    return layer.weights @ a + layer.biases[:, None]


def count_parameters(params: Params) -> int:
    """Number of weights and biases."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
