"""Layers: each a forward function beside its pullback derived by hand, and how they are written."""

from digits_jax.layers.attention import attention, patches
from digits_jax.layers.columns import activation, dense, flatten, linear
from digits_jax.layers.convolutional import convolution, depthwise
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
from digits_jax.layers.masks import dropout
from digits_jax.layers.normalisation import batch_norm, layer_norm, rms_norm
from digits_jax.layers.pooling import average_pool, last, max_pool, mean
from digits_jax.layers.recurrence import gru, lstm, rnn
from digits_jax.layers.words import GRAMMAR, WORDS, check, parse, place, split

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
    "attention",
    "average_pool",
    "batch_norm",
    "chain",
    "check",
    "convolution",
    "dense",
    "depthwise",
    "dropout",
    "flatten",
    "gru",
    "last",
    "layer_norm",
    "linear",
    "lstm",
    "max_pool",
    "mean",
    "parse",
    "patches",
    "place",
    "plain",
    "residual",
    "rms_norm",
    "rnn",
    "scopes",
    "split",
]
