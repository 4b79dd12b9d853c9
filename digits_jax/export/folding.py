"""A trained network as a smaller one that evaluates alike, for a page that knows fewer layers."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import layers, losses
from digits_jax.activations import gelu
from digits_jax.export.source import Source
from digits_jax.layers import Affine, Layer
from digits_jax.layers.normalisation import EPSILON
from digits_jax.models import Fitted, with_inputs
from digits_jax.runs import model_file

# The layers, activations and losses that the page's own JavaScript computes.
PAGE: dict[Any, Callable[..., Layer]] = {
    layers.dense: lambda p: layers.dense(len(p.biases)),
    layers.flatten: lambda p: layers.flatten(),
    layers.convolution: lambda p, **numbers: layers.convolution(len(p.biases), **numbers),
    layers.max_pool: lambda p, **numbers: layers.max_pool(**numbers),
}
ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": gelu}
ACTIVATIONS["silu"] = jax.nn.silu
LOSSES = (losses.quadratic, losses.cross_entropy)
IMAGES, TOLERANCE = 4, 1e-5


def folded(source: Source) -> Source:
    """The network without dropout, each batch norm made part of the affine layer before it.

    scale (W a + b - mean) / deviation + shift is W' a + b' with
    W' = scale W / deviation and b' = scale (b - mean) / deviation + shift.
    """
    trained, model = source.trained, source.model
    params, state = model.split(trained.params)
    words = layers.split(trained.config.hidden)
    gone = (layers.dropout, layers.batch_norm)
    kept = [word for word in words if layers.parse([word])[0].maker not in gone]
    if len(kept) == len(words):
        return source
    made: list[Any] = []
    for layer, p, s in zip(model.layers, params, state, strict=True):
        if layer.maker is layers.batch_norm:
            if not made or not isinstance(made[-1], Affine):
                raise ValueError("html: the page knows batch-norm only after a layer with weights")
            factor = p.scale / jnp.sqrt(s.variance + EPSILON)
            weights, biases = made[-1]
            made[-1] = Affine(factor[:, None] * weights, factor * (biases - s.mean) + p.shift)
        elif layer.maker is not layers.dropout:
            made.append(p)
    config = dataclasses.replace(trained.config, hidden=tuple(kept))
    smaller = trained._replace(params=tuple(made), config=config)
    return source._replace(trained=smaller, content=model_file.to_bytes(smaller))


def for_page(source: Source) -> Source:
    """The network as the page computes it, compared with what the model computes.

    Raises:
        ValueError: in one line with the name of what the page does not know or would compute as
            something else.
    """
    smaller = folded(source)
    config, params = smaller.trained.config, smaller.trained.params
    if losses.LOSSES[config.loss].function not in LOSSES:
        raise ValueError(f"html: the page does not know the loss {config.loss}")
    inside = params.params if isinstance(params, Fitted) else params
    pairs = zip(smaller.model.layers, inside, strict=True)
    of_page = [_of_page(layer, p) for layer, p in pairs]
    shape = (IMAGES, *source.trained.image_shape)
    images = jnp.asarray(np.random.default_rng(0).random(shape), jnp.float32)
    logits, inputs = with_inputs(smaller.model)(params, images)
    outputs = [*inputs[1:], logits.T]
    for layer, p, a, z in zip(of_page, params, inputs, outputs, strict=True):
        _compare(layer, layer.forward(p, (), a, None)[0], z)
    _compare(smaller.model.layers[-1], source.model.apply(source.trained.params, images), logits)
    for word in config.hidden:
        if not re.fullmatch(r"[1-9]\d*|conv[\dx]+(/\d+)?|max\d+", str(word)):
            raise ValueError(f"html: the page does not know the word {word}")
    return smaller


def _of_page(layer: Layer, p: Any) -> Layer:
    if ACTIVATIONS.get(layer.kind) is layer.maker and layer.maker:
        return layer
    if layer.maker not in PAGE:
        raise ValueError(
            f"html: the page cannot compute {layer.kind}: export this network as onnx or stablehlo"
        )
    return PAGE[layer.maker](p, **dict(layer.numbers))


def _compare(layer: Layer, actual: Any, expected: Any) -> None:
    far = float(jnp.abs(actual - expected).max()) if actual.shape == expected.shape else np.inf
    if not far <= TOLERANCE * max(1.0, float(jnp.abs(expected).max())):
        raise ValueError(f"html: {layer.kind} is another function on the page: off by {far:g}")
