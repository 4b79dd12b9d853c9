"""What mistakes make of a call of a layer: each a transformation of the right dC/dp and dC/da.

A mistake that reverse mode can make is written as a forward of the same value through which reverse
mode goes another way: `jax.lax.stop_gradient` where a share is left out.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.layers import Layer, convolution
from digits_jax.layers.normalisation import EPSILON

Pulled = tuple[Any, Any]  # dC/dp and dC/da


class Call(NamedTuple):
    """A layer, what its forward was given, and delta: all that a pullback may depend on."""

    layer: Layer
    p: Any
    state: Any
    a: Any
    key: Any
    delta: Any

    def output(self) -> Any:
        """What the layer gives for its input."""
        return self.layer.forward(self.p, self.state, self.a, self.key)[0]

    def right(self) -> Pulled:
        """dC/dp and dC/da by reverse mode of the layer's own forward."""

        def forward(p: Any, a: Any) -> Any:
            return self.layer.forward(p, self.state, a, self.key)[0]

        back, to_input = jax.vjp(forward, self.p, self.a)[1](self.delta)
        return back, to_input


def scaled(factor: Callable[[Call], float]) -> Callable[[Call], Pulled]:
    return lambda call: jax.tree.map(lambda x: factor(call) * x, call.right())


def first_image(call: Call) -> Pulled:
    return call._replace(delta=jnp.zeros_like(call.delta).at[:, 0].set(call.delta[:, 0])).right()


def last_image(call: Call) -> Pulled:
    return call._replace(delta=jnp.zeros_like(call.delta).at[:, -1].set(call.delta[:, -1])).right()


def weights_not_transposed(call: Call) -> Pulled:
    # The numbers row by row in the other order: a shape check finds nothing.
    wrong = jax.tree.map(lambda x: x.T.reshape(x.shape) if x.ndim == 2 else x, call.p)
    return call._replace(p=wrong).right()


def gradient_transposed(call: Call) -> Pulled:
    grads, back = call.right()
    return jax.tree.map(lambda x: x.T.reshape(x.shape), grads), back


def input_for_output(call: Call) -> Pulled:
    """f' at a = f(z) instead of at z."""
    return call._replace(a=call.output()).right()


def kernel_not_flipped(call: Call) -> Pulled:
    weights = call.p.weights
    places = weights.reshape(len(weights), -1, len(call.a))[:, ::-1]
    return call._replace(p=call.p._replace(weights=places.reshape(weights.shape))).right()


def kernel_gradient_flipped(call: Call) -> Pulled:
    grads, back = call.right()
    places = grads.weights.reshape(len(call.delta), -1, len(call.a))[:, ::-1]
    return grads._replace(weights=places.reshape(grads.weights.shape)), back


def channels_first(call: Call) -> Pulled:
    grads, back = call.right()
    places = grads.weights.reshape(len(call.delta), -1, len(call.a)).swapaxes(1, 2)
    return grads._replace(weights=places.reshape(grads.weights.shape)), back


def without_stride(call: Call) -> Pulled:
    dense = convolution(len(call.delta), dict(call.layer.numbers)["size"])
    _, _, rows, columns = call.delta.shape
    corner = jnp.zeros((len(call.delta), *call.a.shape[1:]), call.delta.dtype)
    corner = corner.at[:, :, :rows, :columns].set(call.delta)
    return call._replace(layer=dense, delta=corner).right()


def shifted(image: Any) -> Any:
    return jnp.pad(image, ((0, 0), (0, 0), (1, 0), (1, 0)))[:, :, :-1, :-1]


def off_by_a_pixel(call: Call) -> Pulled:
    grads, back = call.right()
    return grads, shifted(back)


def patches_off_by_a_pixel(call: Call) -> Pulled:
    return call._replace(a=shifted(call.a)).right()


def to_every_pixel(call: Call) -> Pulled:
    size = call.a.shape[2] // call.delta.shape[2]
    everywhere = call.delta.repeat(size, axis=2).repeat(size, axis=3)
    _, _, rows, columns = everywhere.shape
    return (), jnp.zeros_like(call.a).at[:, :, :rows, :columns].set(everywhere)


def ties_to_all(call: Call) -> Pulled:
    right = call.right()[1]
    return (), jnp.where(right != 0, to_every_pixel(call)[1], 0)


def shared_by_all(call: Call) -> Pulled:
    size = call.a.shape[2] // call.delta.shape[2]
    return (), to_every_pixel(call)[1] / size**2


def to_one_pixel(call: Call) -> Pulled:
    size = call.a.shape[2] // call.delta.shape[2]
    _, _, rows, columns = call.delta.shape
    where = slice(0, size * rows, size), slice(0, size * columns, size)
    return (), jnp.zeros_like(call.a).at[:, :, *where].set(call.delta)


def scale_of_input(call: Call) -> Pulled:
    grads, back = call.right()
    sums = (call.delta * call.a).sum(axis=tuple(range(1, call.a.ndim)))
    return grads._replace(scale=sums), back


def rows_first(call: Call) -> Pulled:
    channels, batch, height, width = call.a.shape
    return (), jnp.moveaxis(call.delta.T.reshape(batch, height, width, channels), 3, 0)


def of_places(call: Call) -> Pulled:
    """Of a mean over all places: delta to each of them, not divided by their number."""
    return (), jnp.broadcast_to(call.delta[:, :, None, None], call.a.shape)


def to_first_place(call: Call) -> Pulled:
    return (), jnp.zeros_like(call.a).at[:, :, 0, 0].set(call.delta)


def altered(forward: Callable[[Any, Any], Any], call: Call) -> Pulled:
    """What reverse mode makes of another forward(p, a), of the same value."""
    other = call.layer._replace(forward=lambda p, state, a, key: (forward(p, a), (), ()))
    return call._replace(layer=other).right()


def normalised(call: Call, mean: Callable[[Any], Any], deviation: Callable[[Any], Any]) -> Pulled:
    """A normalisation, with what reverse mode sees of its mean and of its deviation."""
    kind, axes = call.layer.kind, tuple(range(1, call.a.ndim))
    axes = axes if kind == "batch-norm" else (0,)

    def forward(p: Any, a: Any) -> Any:
        m = 0 if kind == "rms-norm" else mean(a.mean(axes, keepdims=True))
        variance = ((a - m) ** 2).mean(axes, keepdims=True)
        x = (a - m) * jax.lax.rsqrt(deviation(variance) + EPSILON)
        shift = p.shift if hasattr(p, "shift") else jnp.zeros_like(p.scale)
        along = (-1, *[1] * (a.ndim - 1))
        return p.scale.reshape(along) * x + shift.reshape(along)

    return altered(forward, call)


def same(x: Any) -> Any:
    return x


def attention(call: Call, scaled: bool, share: bool) -> Pulled:
    """Attention, of which reverse mode sees no factor 1/sqrt(d), or no share of softmax's sum."""
    heads = dict(call.layer.numbers)["heads"]

    def mapped(p: Any, tokens: Any) -> Any:
        return jnp.tensordot(p.weights, tokens, 1) + p.biases[:, None, None]

    def forward(p: Any, a: Any) -> Any:
        tokens = a.reshape(*a.shape[:2], -1)
        q, k, v = mapped(p.inputs, tokens).reshape(3, heads, -1, *tokens.shape[1:])
        whole = jnp.einsum("hdbn,hdbm->hbnm", q, k)
        scores = whole / math.sqrt(q.shape[1])
        if not scaled:
            scores = jax.lax.stop_gradient(scores - whole) + whole
        total = jax.nn.logsumexp(scores, axis=-1, keepdims=True)
        weights = jnp.exp(scores - (total if share else jax.lax.stop_gradient(total)))
        selected = jnp.einsum("hbnm,hdbm->hdbn", weights, v).reshape(tokens.shape)
        return mapped(p.output, selected).reshape(a.shape)

    return altered(forward, call)


def rnn(a: Any, u: Any, h: Any, c: Any) -> tuple[Any, Any]:
    return jnp.tanh(a + u), c


def gru(a: Any, u: Any, h: Any, c: Any) -> tuple[Any, Any]:
    (a_r, a_z, a_n), (u_r, u_z, u_n) = jnp.split(a, 3), jnp.split(u, 3)
    r, z = jax.nn.sigmoid(a_r + u_r), jax.nn.sigmoid(a_z + u_z)
    return (1 - z) * jnp.tanh(a_n + r * u_n) + z * h, c


def lstm(a: Any, u: Any, h: Any, c: Any) -> tuple[Any, Any]:
    i, f, g, o = jnp.split(a + u, 4)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def not_through_time(call: Call, cut_all: bool) -> Pulled:
    """A recurrence through which nothing goes back from step to step; or not by way of U h."""
    cell = CELLS[call.layer.kind]

    def forward(p: Any, image: Any) -> Any:
        rows = jnp.moveaxis(image, 2, 0)  # [steps, channels, batch, width]
        flat = rows.swapaxes(2, 3).reshape(len(rows), -1, image.shape[1])
        h = c = jnp.zeros((p.recurrent.shape[1], image.shape[1]), image.dtype)
        outputs = []
        for x in flat:
            before = jax.lax.stop_gradient((h, c)) if cut_all else (h, c)
            a = p.weights @ x + p.biases[:, None]
            h, c = cell(a, p.recurrent @ jax.lax.stop_gradient(h), *before)
            outputs.append(h)
        return jnp.stack(outputs, axis=2)[..., None]

    return altered(forward, call)


def last_step(call: Call) -> Pulled:
    last = jnp.zeros_like(call.delta).at[:, :, -1].set(call.delta[:, :, -1])
    return call._replace(delta=last).right()
