"""What a layer is, and the two ways to make one of others: a chain and a residual connection.

Examples are columns: activations are [features, batch], as in the equations. The gradient of a
matrix of weights is then a plain product of rows by columns, which XLA's CPU backend computes in
half the time that it takes with examples as rows. Where there is space they are
[channels, batch, height, width], and the same holds. Tokens, and the steps of a sequence, are
places in such a space too.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

# Of a single example, without the batch: (features,) or (channels, height, width).
Shape = tuple[int, ...]
# The shapes of the normal noise that parameters are made from: one, a tuple of several, or ().
Noise = Any
# Parameters, running statistics, and what a forward keeps for its pullback: pytrees, () for none.
Parameters = Any
State = Any
Kept = Any
# From standard normal noise, a row [fan-in + 1] for each output, to weights and biases.
Initializer = Callable[[Float[Array, "out columns"]], Any]


class Affine(NamedTuple):
    """The parameters of a map z = W x + b: of a dense layer, and of a convolution."""

    weights: Float[Array, "out fan_in"]
    biases: Float[Array, " out"]


def _by_initializer(initializer: Initializer, noise: Any, shape: Shape) -> Parameters:
    return initializer(noise) if isinstance(noise, jax.Array) else ()


class Layer(NamedTuple):
    """A function of parameters, state and input, and its derivative read backwards.

    kind: what it is, for people who read a program or draw a network.
    shapes: of its input to those of the standard normal noise that its parameters are made from
        (a row [fan-in + 1] for each output, a tuple of several such shapes, or () for no noise),
        and to the shape of its output.
    forward: (p, state, a, key) -> (output, kept, state after). Without a key it evaluates; with
        one it is a step of training.
    pullback: (p, kept, delta) -> (dC/dp, dC/da), delta being dC/d(output) and `kept` what the
        forward kept; `None` where nobody derived one.
    numbers: what else an exporter has to know.
    maker: the function that made it, or that it applies to each element: what exporters look up.
    role: "affine": an activation follows; "norm": an activation that is due comes after it; "":
        neither. By default a layer with parameters is "affine".
    takes: 1 for columns, 3 for images. By default as many axes as its output has.
    make: (initializer, noise, input shape) -> parameters.
    state: of its input shape to its first state.
    draws: whether a step of training draws random numbers.
    over: the same layer where a batch is spread over a mesh axis, if that is another.
    layers: the layers that it consists of.
    """

    kind: str
    shapes: Callable[[Shape], tuple[Noise, Shape]]
    forward: Callable[[Parameters, State, Any, Key[Array, ""] | None], tuple[Any, Kept, State]]
    pullback: Callable[[Parameters, Kept, Any], tuple[Parameters, Any]] | None
    numbers: tuple[tuple[str, int], ...] = ()
    maker: Callable[..., Any] | None = None
    role: str | None = None
    takes: int = 0
    make: Callable[[Initializer, Any, Shape], Parameters] = _by_initializer
    state: Callable[[Shape], State] = lambda shape: ()
    draws: bool = False
    over: Callable[[str], "Layer"] | None = None
    layers: tuple["Layer", ...] = ()


def plain(
    kind: str,
    shapes: Callable[[Shape], tuple[Noise, Shape]],
    forward: Callable[[Parameters, Any], Any],
    pullback: Callable[[Parameters, Any, Any], tuple[Parameters, Any]] | None,
    **others: Any,
) -> Layer:
    """A layer without state and randomness: forward(p, a), and pullback(p, a, delta).

    Args:
        kind: see `Layer`, as for `shapes` and `others`.
        shapes: of its input to those of its noise and its output.
        forward: from parameters and input to the output; its input is what it keeps.
        pullback: from parameters, input and delta to dC/dp and dC/da.
        **others: further fields of `Layer`.
    """

    def keeping(p: Parameters, state: State, a: Any, key: Any) -> tuple[Any, Kept, State]:
        return forward(p, a), a, state

    return Layer(kind, shapes, keeping, pullback, **others)


def chain(*layers: Layer) -> Layer:
    """One layer after the other. Its pullback is back-propagation.

    With a^l = f^l(p^l, a^(l-1)) for each layer, each pullback takes delta from dC/da^l to
    dC/da^(l-1), and gives dC/dp^l on the way (Rumelhart, Hinton and Williams, 1986).
    """
    names = scopes(layers)

    def shapes(shape: Shape) -> tuple[Noise, Shape]:
        noise = []
        for layer in layers:
            own, shape = layer.shapes(shape)
            noise.append(own)
        return tuple(noise), shape

    def before(shape: Shape) -> list[Shape]:
        found = [shape]
        for layer in layers:
            found.append(layer.shapes(found[-1])[1])
        return found[:-1]

    def forward(p: Parameters, state: State, a: Any, key: Any) -> tuple[Any, Kept, State]:
        kept, after = [], []
        for n, (name, layer, own, s) in enumerate(zip(names, layers, p, state, strict=True)):
            draws = key is not None and layer.draws
            with jax.named_scope(name):
                a, k, s = layer.forward(own, s, a, jax.random.fold_in(key, n) if draws else key)
            kept.append(k)
            after.append(s)
        return a, tuple(kept), tuple(after)

    def pullback(p: Parameters, kept: Kept, delta: Any) -> tuple[Parameters, Any]:
        grads = []
        for name, layer, own, k in list(zip(names, layers, p, kept, strict=True))[::-1]:
            assert layer.pullback
            with jax.named_scope(f"pullback({name})"):
                grad, delta = layer.pullback(own, k, delta)  # BP2, BP3, BP4
            grads.append(grad)
        return tuple(reversed(grads)), delta

    def make(initializer: Initializer, noise: Any, shape: Shape) -> Parameters:
        each = zip(layers, noise, before(shape), strict=True)
        return tuple(layer.make(initializer, own, shape) for layer, own, shape in each)

    return Layer(
        "chain",
        shapes,
        forward,
        pullback if all(layer.pullback for layer in layers) else None,
        maker=chain,
        make=make,
        state=lambda shape: tuple(
            layer.state(own) for layer, own in zip(layers, before(shape), strict=True)
        ),
        draws=any(layer.draws for layer in layers),
        layers=tuple(layers),
    )


def residual(*layers: Layer) -> Layer:
    """y = a + f(a), f being a chain of layers (He et al., Deep residual learning, 2016, eq. 1).

        dC/da = delta + f's pullback of delta,   dC/dp = f's

    Where f changes the shape, a is projected: y = V a' + b + f(a), a' being every s-th place of a,
    a convolution of 1 x 1 (equation 2). Then dC/dV = delta a'^T, dC/db is the sum of delta, and
    V^T delta goes back to those places.
    """
    inner = chain(*layers)

    def shapes(shape: Shape) -> tuple[Noise, Shape]:
        noise, output = inner.shapes(shape)
        if len(output) != len(shape):
            raise ValueError(f"res: cannot add an input of {shape} to an output of {output}")
        return (noise, () if output == shape else (output[0], shape[0] + 1)), output

    def places(a: Array, like: Shape) -> tuple[slice, ...]:
        """Every s-th place of `a`, as many as there are in the output."""
        strides = [max(1, round(n / m)) for n, m in zip(a.shape[2:], like[2:], strict=True)]
        lengths = zip(strides, like[2:], strict=True)
        return (slice(None), slice(None), *(slice(0, s * (m - 1) + 1, s) for s, m in lengths))

    def project(p: Affine, a: Array, like: Shape) -> Array:
        seen = a[places(a, like)]
        return jnp.tensordot(p.weights, seen, 1) + p.biases.reshape(-1, *[1] * (a.ndim - 1))

    def forward(p: Parameters, state: State, a: Array, key: Any) -> tuple[Array, Kept, State]:
        z, kept, after = inner.forward(p[0], state, a, key)
        return z + (project(p[1], a, z.shape) if p[1] else a), (a, kept), after

    def pullback(p: Parameters, kept: Kept, delta: Array) -> tuple[Parameters, Array]:
        a, kept_inside = kept
        assert inner.pullback
        grads, back = inner.pullback(p[0], kept_inside, delta)
        if not p[1]:
            return (grads, ()), back + delta
        where, axes = places(a, delta.shape), tuple(range(1, delta.ndim))
        skip = Affine(jnp.tensordot(delta, a[where], (axes, axes)), delta.sum(axes))
        return (grads, skip), back.at[where].add(jnp.tensordot(p[1].weights.T, delta, 1))

    def make(initializer: Initializer, noise: Any, shape: Shape) -> Parameters:
        own = initializer(noise[1]) if isinstance(noise[1], jax.Array) else ()
        return inner.make(initializer, noise[0], shape), own

    return inner._replace(
        kind="residual",
        shapes=shapes,
        forward=forward,
        pullback=inner.pullback and pullback,
        maker=residual,
        make=make,
        role="",
    )


def scopes(layers: Sequence[Layer]) -> list[str]:
    """A name for each layer, in profiles and programs too: dense1, sigmoid1, dense2."""
    kinds = [layer.kind for layer in layers]
    return [f"{kind}{kinds[: i + 1].count(kind)}" for i, kind in enumerate(kinds)]
