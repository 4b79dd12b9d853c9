"""Classic mistakes in back-propagation by hand, each one entry of a network or of its loss.

A pullback gives dC/dp and dC/da; the mistaken ones are given the layer with the right one, too.
"""

import functools
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from digits_jax.activations import ACTIVATIONS
from digits_jax.gradients import ValueAndGrad, manual
from digits_jax.layers import convolution
from digits_jax.losses import Loss
from digits_jax.models import Model
from experiments.comparison.problem import Problem

AFFINE = ("dense", "convolution")
ANYWHERE, BEHIND_PARAMETERS = range(1_000_000), range(1, 1_000_000)
Pulled = tuple[Any, Array]
Put = Callable[[Model, Loss], tuple[Model, Loss]]


def pullbacks(
    wrong: Callable[[Any, Any, Array, Array], Pulled],
    kinds: Collection[str],
    before: Collection[int] = ANYWHERE,
    stride: int = 1,
) -> Put:
    """Puts a mistake into layers of these kinds, of no less than this stride where they have one.

    `before` are the numbers of layers with parameters that may come before it: where there are
    none, nothing uses dC/da, and a mistake in it is none.
    """

    def put(model: Model, loss: Loss) -> tuple[Model, Loss]:
        layers, passed = list(model.layers), 0
        for n, layer in enumerate(layers):
            wide = dict(layer.numbers).get("stride", stride) >= stride
            if layer.kind in kinds and wide and passed in before:
                layers[n] = layer._replace(pullback=functools.partial(wrong, layer))
            passed += layer.kind in AFFINE
        return model._replace(layers=tuple(layers)), loss

    return put


def without_batch_mean(model: Model, loss: Loss) -> tuple[Model, Loss]:
    def derivative(logits: Array, labels: Array) -> Array:
        return len(labels) * loss.derivative(logits, labels)

    return model, loss._replace(derivative=derivative)


def without_derivative(layer: Any, p: Any, z: Array, delta: Array) -> Pulled:
    return (), delta


def transposed_weights(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    # The numbers row by row in the other order: a shape check finds nothing.
    wrong = p._replace(weights=p.weights.T.reshape(p.weights.shape))
    pulled: Pulled = layer.pullback(wrong, a, delta)
    return pulled


def bias_of_first_image(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    gradient, back = layer.pullback(p, a, delta)
    first, _ = layer.pullback(p, a[:, :1], delta[:, :1])
    return gradient._replace(biases=first.biases), back


def no_gradient(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    return jax.tree.map(jnp.zeros_like, p), layer.pullback(p, a, delta)[1]


def kernel_not_flipped(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    places = p.weights.reshape(len(delta), -1, len(a))[:, ::-1]
    pulled: Pulled = layer.pullback(p._replace(weights=places.reshape(p.weights.shape)), a, delta)
    return pulled


def without_stride(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    dense: Any = convolution(len(delta), dict(layer.numbers)["size"])
    _, _, rows, columns = delta.shape
    corner = jnp.zeros((len(delta), *a.shape[1:]), delta.dtype).at[:, :, :rows, :columns].set(delta)
    return layer.pullback(p, a, delta)[0], dense.pullback(p, a, corner)[1]


def off_by_a_pixel(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    gradient, back = layer.pullback(p, a, delta)
    return gradient, jnp.pad(back, ((0, 0), (0, 0), (1, 0), (1, 0)))[:, :, :-1, :-1]


def to_every_pixel(layer: Any, p: Any, a: Array, delta: Array) -> Pulled:
    size = dict(layer.numbers)["size"]
    everywhere = delta.repeat(size, axis=2).repeat(size, axis=3)
    _, _, rows, columns = everywhere.shape
    return (), jnp.zeros_like(a).at[:, :, :rows, :columns].set(everywhere)


class Fault(NamedTuple):
    """A mistake in words, and what puts it in; what has no place for it comes back as it was."""

    mistake: str
    put: Put


NONE = "none"
FAULTS = {
    NONE: Fault("no mistake", lambda model, loss: (model, loss)),
    "activation_derivative": Fault(
        "BP2 forgets the factor f'(z)", pullbacks(without_derivative, ACTIVATIONS)
    ),
    "batch_mean": Fault("BP1 forgets to divide by the batch size", without_batch_mean),
    "transposed_weights": Fault(
        "BP2 reads the weights as if stored [in, out]",
        pullbacks(transposed_weights, AFFINE, BEHIND_PARAMETERS),
    ),
    "bias_sum": Fault(
        "BP3 takes the first image instead of the sum over the batch",
        pullbacks(bias_of_first_image, AFFINE),
    ),
    "off_by_one": Fault(
        "the loop over layers ends one early: layer 1 gets no gradient",
        pullbacks(no_gradient, AFFINE, before={0}),
    ),
    "kernel_not_flipped": Fault(
        "dC/da of a convolution by kernels that are not flipped",
        pullbacks(kernel_not_flipped, {"convolution"}, BEHIND_PARAMETERS),
    ),
    "stride": Fault(
        "dC/da of a convolution forgets the stride",
        pullbacks(without_stride, {"convolution"}, BEHIND_PARAMETERS, stride=2),
    ),
    "padding": Fault(
        "dC/da of a convolution is off by a pixel of padding",
        pullbacks(off_by_a_pixel, {"convolution"}, BEHIND_PARAMETERS),
    ),
    "pooling": Fault(
        "a max-pool sends delta to every pixel, not to the greatest",
        pullbacks(to_every_pixel, {"max-pool"}, BEHIND_PARAMETERS),
    ),
}


def mistaken(problem: Problem, faults: Iterable[str]) -> dict[str, ValueAndGrad]:
    """`manual` with no mistake, and with each of those that the network has a place for.

    Raises:
        ValueError: where a layer has no derivative written by hand.
    """
    right = problem.model, problem.loss
    wrong = {fault: FAULTS[fault].put(*right) for fault in faults}
    return {NONE: manual(*right)} | {
        fault: manual(*entries) for fault, entries in wrong.items() if entries != right
    }
