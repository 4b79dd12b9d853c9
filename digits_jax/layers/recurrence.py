"""Recurrence over the rows of an image, and back-propagation through time.

Step t reads row t of all channels, x_t, and the hidden state h of the step before it. All cells are

    a_t = W x_t + b,   u_t = U h_(t-1),   h_t, c_t = cell(a_t, u_t, h_(t-1), c_(t-1)),

with h_0 = c_0 = 0, c being what else a cell remembers. The output of the layer is every h_t, an
image [units, batch, steps, 1]. Back through time, from the last step to the first, with delta_t
from above and dh from step t + 1 (Werbos, Backpropagation through time, 1990),

    da_t, du_t, dh, dc = cell's pullback of (delta_t + dh, dc),   dh += U^T du_t,

and then over all steps dC/dW = sum of da_t x_t^T, dC/dU = sum of du_t h_(t-1)^T, dC/db = sum of
da_t and dC/dx_t = W^T da_t: a matrix product each, outside of the loop over time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from digits_jax.layers.layer import Layer, Noise, Shape

Units = Float[Array, "units batch"]


class Recurrent(NamedTuple):
    """W, U and b; of a cell with gates the rows of each gate come one after the other."""

    weights: Float[Array, "out inputs"]
    recurrent: Float[Array, "out units"]
    biases: Float[Array, " out"]


class Cell(NamedTuple):
    """A step forwards, and its derivative.

    gates: the number of rows of W, U and b for each unit.
    forward: (a_t, u_t, memory) -> (memory after, kept). A memory is (h,), or (h, c).
    pullback: (kept, dC/d(memory after)) -> (da_t, du_t, dC/d(memory)), without the share of dh that
        comes by way of u_t.
    memories: 1 for (h,), 2 for (h, c).
    forget: the gate whose biases begin at 1, if there is one.
    """

    gates: int
    forward: Callable[[Array, Array, tuple[Units, ...]], tuple[tuple[Units, ...], Any]]
    pullback: Callable[[Any, tuple[Units, ...]], tuple[Array, Array, tuple[Units, ...]]]
    memories: int = 1
    forget: int | None = None


def rnn(units: int) -> Layer:
    """h_t = tanh(a_t + u_t) (Elman, Finding structure in time, 1990): da = du = dh (1 - h_t^2)."""

    def forward(a: Array, u: Array, memory: tuple[Units, ...]) -> tuple[tuple[Units, ...], Any]:
        h = jnp.tanh(a + u)
        return (h,), h

    def pullback(h: Any, d: tuple[Units, ...]) -> tuple[Array, Array, tuple[Units, ...]]:
        da = d[0] * (1 - h**2)
        return da, da, (jnp.zeros_like(h),)

    return _recurrence("rnn", units, Cell(1, forward, pullback), rnn)


def gru(units: int) -> Layer:
    """The gated recurrent unit (Cho et al., Learning phrase representations, 2014).

        r = sigma(a_r + u_r),   z = sigma(a_z + u_z),   n = tanh(a_n + r u_n),
        h_t = (1 - z) n + z h_(t-1)

    with r after the product U_n h, as in cuDNN and PyTorch. With dn = dh (1 - z) (1 - n^2),

        da_n = dn,   da_r = dn u_n r (1 - r),   da_z = dh (h_(t-1) - n) z (1 - z),
        du = (da_r, da_z, dn r),   dh_(t-1) = dh z + U^T du.
    """

    def forward(a: Array, u: Array, memory: tuple[Units, ...]) -> tuple[tuple[Units, ...], Any]:
        (a_r, a_z, a_n), (u_r, u_z, u_n), (h,) = jnp.split(a, 3), jnp.split(u, 3), memory
        r, z = jax.nn.sigmoid(a_r + u_r), jax.nn.sigmoid(a_z + u_z)
        n = jnp.tanh(a_n + r * u_n)
        return ((1 - z) * n + z * h,), (r, z, n, u_n, h)

    def pullback(kept: Any, d: tuple[Units, ...]) -> tuple[Array, Array, tuple[Units, ...]]:
        (r, z, n, u_n, h), (dh,) = kept, d
        dn = dh * (1 - z) * (1 - n**2)
        dr, dz = dn * u_n * r * (1 - r), dh * (h - n) * z * (1 - z)
        return jnp.concatenate([dr, dz, dn]), jnp.concatenate([dr, dz, dn * r]), (dh * z,)

    return _recurrence("gru", units, Cell(3, forward, pullback), gru)


def lstm(units: int) -> Layer:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with forget gates (Gers, 2000).

        i, f, o = sigma(a + u) of their rows,   g = tanh(a_g + u_g),
        c_t = f c_(t-1) + i g,   h_t = o tanh(c_t)

    With dc the sum of what comes from step t + 1 and dh o (1 - tanh(c_t)^2),

        da_i = dc g i (1 - i),   da_f = dc c_(t-1) f (1 - f),   da_g = dc i (1 - g^2),
        da_o = dh tanh(c_t) o (1 - o),   du = da,   dc_(t-1) = dc f.

    Biases of f begin at 1, so that it remembers (Jozefowicz et al., 2015). The rows of the gates
    are in the order i, f, g, o.
    """

    def forward(a: Array, u: Array, memory: tuple[Units, ...]) -> tuple[tuple[Units, ...], Any]:
        i, f, g, o = jnp.split(a + u, 4)
        i, f, o, g = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jax.nn.sigmoid(o), jnp.tanh(g)
        c = f * memory[1] + i * g
        held = jnp.tanh(c)
        return (o * held, c), (i, f, g, o, memory[1], held)

    def pullback(kept: Any, d: tuple[Units, ...]) -> tuple[Array, Array, tuple[Units, ...]]:
        (i, f, g, o, before, held), (dh, dc) = kept, d
        dc = dc + dh * o * (1 - held**2)
        gates = (
            dc * g * i * (1 - i),
            dc * before * f * (1 - f),
            dc * i * (1 - g**2),
            dh * held * o * (1 - o),
        )
        da = jnp.concatenate(gates)
        return da, da, (jnp.zeros_like(dh), dc * f)

    return _recurrence("lstm", units, Cell(4, forward, pullback, memories=2, forget=1), lstm)


def _recurrence(kind: str, units: int, cell: Cell, maker: Callable[[int], Layer]) -> Layer:
    """The layer that repeats a cell: see the head of this module."""
    out = cell.gates * units

    def shapes(shape: Shape) -> tuple[Noise, Shape]:
        channels, steps, width = shape
        return (out, channels * width + units + 1), (units, steps, 1)

    def forward(p: Recurrent, _: Any, a: Array, key: Any) -> tuple[Array, Any, Any]:
        rows = a.transpose(2, 0, 3, 1)
        inputs = jnp.einsum("oi,tib->tob", p.weights, _flat(rows)) + p.biases[None, :, None]
        first = jnp.zeros_like(inputs[0, :units])

        def step(memory: tuple[Units, ...], a: Array) -> Any:
            after, kept = cell.forward(a, p.recurrent @ memory[0], memory)
            return after, (after[0], kept)

        _, (hidden, kept) = jax.lax.scan(step, (first,) * cell.memories, inputs)
        z = jnp.moveaxis(hidden, 0, 2)[..., None]
        return z, (rows, hidden, kept), ()

    def pullback(p: Recurrent, kept: Any, delta: Array) -> tuple[Recurrent, Array]:
        rows, hidden, kept_by_cell = kept
        from_above = jnp.moveaxis(delta[..., 0], 2, 0)

        def step(d: tuple[Units, ...], now: Any) -> Any:
            above, kept = now
            da, du, (dh, *others) = cell.pullback(kept, (d[0] + above, *d[1:]))
            return (dh + p.recurrent.T @ du, *others), (da, du)

        nothing = (jnp.zeros_like(hidden[0]),) * cell.memories
        _, (da, du) = jax.lax.scan(step, nothing, (from_above, kept_by_cell), reverse=True)
        grad = Recurrent(
            weights=jnp.einsum("tob,tib->oi", da, _flat(rows)),
            recurrent=jnp.einsum("tob,tub->ou", du[1:], hidden[:-1]),
            biases=da.sum(axis=(0, 2)),
        )
        back = jnp.einsum("oi,tob->tib", p.weights, da).reshape(rows.shape)
        return grad, back.transpose(1, 3, 0, 2)

    def make(initializer: Any, noise: Any, shape: Shape) -> Recurrent:
        weights, biases = initializer(noise)
        if cell.forget is not None:
            biases = biases.at[cell.forget * units : (cell.forget + 1) * units].add(1)
        inputs = shape[0] * shape[2]
        return Recurrent(weights[:, :inputs], weights[:, inputs:], biases)

    return Layer(
        kind,
        shapes,
        forward,
        pullback,
        numbers=(("units", units),),
        maker=maker,
        role="",
        takes=3,
        make=make,
    )


def _flat(
    rows: Float[Array, "steps channels width batch"],
) -> Float[Array, "steps inputs batch"]:
    return rows.reshape(len(rows), -1, rows.shape[3])
