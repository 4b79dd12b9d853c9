"""An image as tokens, each a column of features at a place, and attention between the tokens."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.layers.convolutional import convolution
from digits_jax.layers.layer import Affine, Layer, Noise, Shape, plain

Images = Float[Array, "channels batch height width"]
Tokens = Float[Array, "features batch rows columns"]
# Of each place: standard deviation of its first position (Dosovitskiy et al., 2021, appendix D.4).
POSITION = 0.02


class Patches(NamedTuple):
    """The map from a patch to a token, and what is added at each place."""

    patch: Affine
    positions: Float[Array, "features rows columns"]


class Attention(NamedTuple):
    """The maps from tokens to queries, keys and values, in this order, and back to tokens."""

    inputs: Affine
    output: Affine


class Attended(NamedTuple):
    """What attention keeps: its tokens, what they became, the weights, and what they select."""

    tokens: Float[Array, "features batch n"]
    query: Float[Array, "heads size batch n"]
    key: Float[Array, "heads size batch n"]
    value: Float[Array, "heads size batch n"]
    weights: Float[Array, "heads batch n n"]
    selected: Float[Array, "features batch n"]


def patches(size: int, features: int) -> Layer:
    """z = W x + b + e, x being each patch of `size` x `size` pixels, e learnt for each place.

    A convolution whose stride is its size, with dC/de = sum of delta over the batch (Dosovitskiy et
    al., An image is worth 16x16 words, 2021, equation 1, without its class token).
    """
    embed = convolution(features, size, size)
    assert embed.pullback
    back = embed.pullback

    def shapes(shape: Shape) -> tuple[Noise, Shape]:
        noise, output = embed.shapes(shape)
        return (noise, output), output

    def forward(p: Patches, a: Images) -> Tokens:
        z: Tokens = embed.forward(p.patch, (), a, None)[0] + p.positions[:, None]
        return z

    def pullback(p: Patches, a: Images, delta: Tokens) -> tuple[Patches, Images]:
        patch, to_input = back(p.patch, a, delta)
        return Patches(patch, delta.sum(axis=1)), to_input

    def make(initializer: Any, noise: Any, shape: Shape) -> Patches:
        return Patches(initializer(noise[0]), POSITION * noise[1])

    numbers = (("size", size), ("stride", size))
    return plain(
        "patches", shapes, forward, pullback, numbers=numbers, maker=patches, role="", takes=3
    )._replace(make=make)


def attention(heads: int) -> Layer:
    """Each token becomes a mean of all tokens' values, weighted by how its query fits their keys.

    Of each head, with d features, q = W_q a + b_q, k and v likewise,

        s[n, m] = q[n] . k[m] / sqrt(d),   w[n] = softmax of s[n],
        y[n] = sum over m of w[n, m] v[m],

    and z = W_o y + b_o of the heads' y, one below the other (Vaswani et al., Attention is all you
    need, 2017, equation 1 and section 3.2.2). Backwards, with dy = W_o^T delta,

        dv[m] = sum over n of w[n, m] dy[n],   dw[n, m] = dy[n] . v[m],
        ds[n, m] = w[n, m] (dw[n, m] - sum over l of w[n, l] dw[n, l]),
        dq[n] = sum over m of ds[n, m] k[m] / sqrt(d),
        dk[m] = sum over n of ds[n, m] q[n] / sqrt(d).

    ds is dw by the Jacobian of a softmax, dw_m/ds_l = w_m (1 if m = l, else 0) - w_m w_l. The maps
    W are dense layers of tokens: dC/dW is delta times their input, and dC/da = W_q^T dq + ...
    """

    def shapes(shape: Shape) -> tuple[Noise, Shape]:
        features = shape[0]
        if features % heads:
            raise ValueError(f"attention{heads}: {features} features do not divide by its heads")
        return ((3 * features, features + 1), (features, features + 1)), shape

    def mapped(p: Affine, tokens: Array) -> Array:
        return jnp.tensordot(p.weights, tokens, 1) + p.biases[:, None, None]

    def unmapped(p: Affine, tokens: Array, delta: Array) -> tuple[Affine, Array]:
        weights = jnp.tensordot(delta, tokens, ((1, 2), (1, 2)))
        return Affine(weights, delta.sum(axis=(1, 2))), jnp.tensordot(p.weights.T, delta, 1)

    def forward(p: Attention, _: Any, a: Tokens, key: Any) -> tuple[Tokens, Attended, Any]:
        tokens = a.reshape(*a.shape[:2], -1)
        q, k, v = mapped(p.inputs, tokens).reshape(3, heads, -1, *tokens.shape[1:])
        scores = jnp.einsum("hdbn,hdbm->hbnm", q, k) / math.sqrt(q.shape[1])
        weights = jax.nn.softmax(scores, axis=-1)
        selected = jnp.einsum("hbnm,hdbm->hdbn", weights, v).reshape(tokens.shape)
        z = mapped(p.output, selected).reshape(a.shape)
        return z, Attended(tokens, q, k, v, weights, selected), ()

    def pullback(p: Attention, kept: Attended, delta: Tokens) -> tuple[Attention, Tokens]:
        tokens, q, k, v, w, selected = kept
        output, dy = unmapped(p.output, selected, delta.reshape(tokens.shape))
        dy = dy.reshape(q.shape)
        dv = jnp.einsum("hbnm,hdbn->hdbm", w, dy)
        ds = softmax_pullback(w, jnp.einsum("hdbn,hdbm->hbnm", dy, v)) / math.sqrt(q.shape[1])
        dq = jnp.einsum("hbnm,hdbm->hdbn", ds, k)
        dk = jnp.einsum("hbnm,hdbn->hdbm", ds, q)
        joined = jnp.stack([dq, dk, dv]).reshape(-1, *tokens.shape[1:])
        inputs, back = unmapped(p.inputs, tokens, joined)
        return Attention(inputs, output), back.reshape(delta.shape)

    def make(initializer: Any, noise: Any, shape: Shape) -> Attention:
        return Attention(*map(initializer, noise))

    return Layer(
        "attention",
        shapes,
        forward,
        pullback,
        numbers=(("heads", heads),),
        maker=attention,
        role="",
        takes=3,
        make=make,
    )


def softmax_pullback(
    w: Float[Array, "*rows n"], dw: Float[Array, "*rows n"]
) -> Float[Array, "*rows n"]:
    """From dC/dw to dC/ds, w being the softmax of s: w (dw - w . dw), row by row."""
    return w * (dw - (w * dw).sum(axis=-1, keepdims=True))
