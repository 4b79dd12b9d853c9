"""Models: a stack of layers as a pair of pure functions over a pytree of parameters."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from digits_jax.layers import (
    Affine,
    Initializer,
    Kept,
    Layer,
    Parameters,
    State,
    chain,
    parse,
    place,
)
from digits_jax.precision import computing

# An entry for each layer: `Affine`, parameters of another kind, or () for none.
Params = tuple[Parameters, ...]


class Fitted(NamedTuple):
    """Parameters with the state, such as running statistics, that a network evaluates with."""

    params: Params
    state: State


# What a network is evaluated with: `Params` alone where it has no state.
Weights = Params | Fitted


Forward = Callable[
    [Params, State, Float[Array, "batch height width"], Key[Array, ""] | None],
    tuple[Float[Array, "batch classes"], Kept, State],
]


class Model(NamedTuple):
    """A network: its layers and what can be computed with them.

    init: parameters from a key.
    forward: (params, state, images, key) -> (logits, kept, state after): the one way through the
        network, for training with a key and for evaluation without.
    state: the first state; an empty tree where no layer has one.
    draws: whether a step of training draws random numbers.
    """

    layers: tuple[Layer, ...]
    init: Callable[[Key[Array, ""]], Params]
    forward: Forward
    state: Callable[[], State]
    draws: bool = False

    def apply(
        self, weights: Weights, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch classes"]:
        """The logits of images by an evaluation."""
        return self.forward(*self.split(weights), images, None)[0]

    def split(self, weights: Weights) -> tuple[Params, State]:
        """Parameters and state of what the network is evaluated with.

        Raises:
            ValueError: in one line, where the network has a state and `weights` has not.
        """
        if isinstance(weights, Fitted):
            return weights.params, weights.state
        if jax.tree.leaves(state := self.state()):
            raise ValueError("this network has running statistics: apply Fitted(params, state)")
        return weights, state


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
    axis: str | None = None,
    precision: str = "float32",
) -> Model:
    """A network of hidden layers, their activations where `layers.place` puts them, and an output.

    Args:
        hidden: words of `layers.parse`: ("30",) for the classic network.
        activation: as `layers.activation` makes it.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        initializer: makes weights and biases from normal noise.
        axis: a mesh axis over which every batch is spread.
        precision: of its products, a key of `PRECISIONS`.

    Raises:
        ValueError: in one line, where a layer cannot follow the one before it.
    """
    start = (1, *image_shape)
    placed, _, _ = place(parse([*hidden, num_classes]), activation, start, axis)
    placed = [computing(layer, precision) for layer in placed]
    network = chain(*placed)  # no activation after the output: logits

    def init(key: Key[Array, ""]) -> Params:
        # One draw for all layers: XLA takes 0.2 s to compile each.
        shapes, tree = jax.tree.flatten(network.shapes(start)[0], is_leaf=is_shape)
        ends = list(itertools.accumulate(map(math.prod, shapes)))
        noise = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
        parts = [part.reshape(shape) for part, shape in zip(noise, shapes, strict=True)]
        params: Params = network.make(initializer, jax.tree.unflatten(tree, parts), start)
        return params

    first_state = functools.partial(network.state, start)
    return Model(network.layers, init, through(network, image_shape), first_state, network.draws)


def through(network: Layer, image_shape: tuple[int, ...] | None = None) -> Forward:
    """The one way from images to logits: examples are columns within the network."""

    def forward(
        params: Params,
        state: State,
        images: Float[Array, "batch height width"],
        key: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "batch classes"], Kept, State]:
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"images are {images.dtype}: expected floats, as of scale_pixels")
        if image_shape not in (None, images.shape[1:]):
            raise ValueError(
                f"images are {images.shape[1:]} pixels, the network is for {image_shape}"
            )
        a, kept, after = network.forward(params, state, images[None], key)
        return a.T, kept, after

    return forward


def with_inputs(model: Model) -> Callable[[Weights, Array], tuple[Array, list[Array]]]:
    """The function from images to logits and the input of each layer, by an evaluation."""

    def watched(layer: Layer) -> Layer:
        def forward(p: Any, state: Any, a: Any, key: Any) -> tuple[Any, Any, Any]:
            z, _, after = layer.forward(p, state, a, key)
            return z, a, after

        return layer._replace(forward=forward)

    network = through(chain(*map(watched, model.layers)))

    def evaluate(weights: Weights, images: Array) -> tuple[Array, list[Array]]:
        logits, inputs, _ = network(*model.split(weights), images, None)
        return logits, list(inputs)

    return evaluate


def fitted(params: Params, state: State) -> Weights:
    """Parameters with a state, where there is one."""
    return Fitted(params, state) if jax.tree.leaves(state) else params


def is_shape(noise: Any) -> bool:
    """Whether what `Layer.shapes` says of its noise is one shape, not a tuple of several."""
    return isinstance(noise, tuple) and noise != () and all(isinstance(n, int) for n in noise)


def describe(hidden: Sequence[str | int], image_shape: tuple[int, int], num_classes: int) -> str:
    """What a network is made of, as in 784-30-10 or 28x28-conv24x5/2-max2-100-10."""
    height, width = image_shape
    flat = not hidden or str(hidden[0]).isdigit()
    pixels = height * width if flat else f"{height}x{width}"
    return "-".join(map(str, [pixels, *hidden, num_classes]))


def count_parameters(weights: Weights) -> int:
    """The number of weights, biases and other parameters; running statistics are not counted."""
    params = weights.params if isinstance(weights, Fitted) else weights
    return sum(leaf.size for leaf in jax.tree.leaves(params))
