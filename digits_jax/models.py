"""Models: a stack of layers as a pair of pure functions over a pytree of parameters."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from digits_jax import layers
from digits_jax.layers import Affine, Layer, Parameters, Shape

# An entry for each layer: `Affine`, or () for a layer without parameters.
Params = tuple[Parameters, ...]


class Model(NamedTuple):
    """A network: its layers, parameters from a key, logits from parameters and images."""

    layers: tuple[Layer, ...]
    init: Callable[[Key[Array, ""]], Params]
    apply: Callable[[Params, Float[Array, "batch height width"]], Float[Array, "batch classes"]]


# From standard normal noise, a row [fan-in + 1] for each output, to parameters.
Initializer = Callable[[Float[Array, "out columns"]], Affine]


def lecun_normal(noise: Float[Array, "out columns"]) -> Affine:
    """Weights normal with standard deviation 1/sqrt(fan-in), biases zero.

    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, equation 16.
    """
    outputs, columns = noise.shape
    return Affine(noise[:, :-1] / math.sqrt(columns - 1), jnp.zeros(outputs, noise.dtype))


def standard_normal(noise: Float[Array, "out columns"]) -> Affine:
    """Weights and biases standard normal (Nielsen, Neural Networks and Deep Learning, 2015)."""
    return Affine(noise[:, :-1], noise[:, -1])


INITIALIZERS: dict[str, Initializer] = {
    "lecun_normal": lecun_normal,
    "standard_normal": standard_normal,
}


def stack(
    hidden: Sequence[str | int],
    activation: Layer,
    image_shape: tuple[int, int],
    num_classes: int,
    initializer: Initializer = lecun_normal,
) -> Model:
    """A network of hidden layers, an activation after each that has parameters, and an output.

    Args:
        hidden: words of `layers.parse`: ("30",) for the classic network.
        activation: as `layers.activation` makes it.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        initializer: makes the parameters of each layer from normal noise.

    Raises:
        ValueError: in one line, where a layer cannot follow the one before it.
    """
    network: list[Layer] = []
    noise_shapes: list[Shape] = []
    shape: Shape = (1, *image_shape)

    def add(layer: Layer) -> None:
        nonlocal shape
        network.append(layer)
        noise_shape, shape = layer.shapes(shape)
        noise_shapes.append(noise_shape)

    for layer in layers.parse([*hidden, num_classes]):
        if layer.kind == "dense" and len(shape) > 1:
            add(layers.flatten())
        add(layer)
        if noise_shapes[-1]:
            add(activation)
    network.pop()  # no activation after the output: logits

    def init(key: Key[Array, ""]) -> Params:
        # One draw for all layers: XLA takes 0.2 s to compile each.
        sizes = [math.prod(shape) if shape else 0 for shape in noise_shapes[:-1]]
        ends = list(itertools.accumulate(sizes))
        noise = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
        return tuple(
            initializer(part.reshape(shape)) if shape else ()
            for part, shape in zip(noise, noise_shapes, strict=False)
        )

    def apply(
        params: Params, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch classes"]:
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"images are {images.dtype}: expected floats, as of scale_pixels")
        a = images[None]
        for name, layer, p in zip(scopes(network), network, params, strict=True):
            with jax.named_scope(name):
                a = layer.forward(p, a)
        return a.T

    return Model(tuple(network), init, apply)


def scopes(network: Sequence[Layer]) -> list[str]:
    """A name for each layer, in profiles and programs too: dense1, sigmoid1, dense2."""
    kinds = [layer.kind for layer in network]
    return [f"{kind}{kinds[: i + 1].count(kind)}" for i, kind in enumerate(kinds)]


def describe(hidden: Sequence[str | int], image_shape: tuple[int, int], num_classes: int) -> str:
    """What a network is made of, as in 784-30-10 or 28x28-conv24x5/2-max2-100-10."""
    height, width = image_shape
    flat = not hidden or str(hidden[0]).isdigit()
    pixels = height * width if flat else f"{height}x{width}"
    return "-".join(map(str, [pixels, *hidden, num_classes]))


def count_parameters(params: Params) -> int:
    """Number of weights and biases."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
