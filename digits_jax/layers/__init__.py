"""Layers: each a forward function beside its pullback derived by hand, and how they are written."""

from digits_jax.layers.columns import activation, dense, flatten, linear
from digits_jax.layers.convolutional import convolution
from digits_jax.layers.layer import (
    Affine,
    Initializer,
    Kept,
    Layer,
    Noise,
    Parameters,
    Shape,
    State,
    chain,
    plain,
    residual,
    scopes,
)
from digits_jax.layers.pooling import max_pool
from digits_jax.layers.words import GRAMMAR, WORDS, parse, place, split

__all__ = [
    "GRAMMAR",
    "WORDS",
    "Affine",
    "Initializer",
    "Kept",
    "Layer",
    "Noise",
    "Parameters",
    "Shape",
    "State",
    "activation",
    "chain",
    "convolution",
    "dense",
    "flatten",
    "linear",
    "max_pool",
    "parse",
    "place",
    "plain",
    "residual",
    "scopes",
    "split",
]
