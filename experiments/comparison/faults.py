"""Classic mistakes in back-propagation by hand, each one entry of a network or of its loss."""

import functools
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from digits_jax.activations import ACTIVATIONS
from digits_jax.gradients import ValueAndGrad, manual
from digits_jax.losses import Loss
from digits_jax.models import Model
from experiments.comparison.problem import Problem

# dC/dp, dC/da
Pulled = tuple[Any, Array]
# (p, a, delta) -> Pulled, as in `digits_jax.layers.Layer`.
Pullback = Callable[[Any, Array, Array], Pulled]
Put = Callable[[Model, Loss], tuple[Model, Loss]]


class Fault(NamedTuple):
    """A mistake in words, and what puts it into that of which `manual` is made.

    A network that has no place for the mistake comes back as it was.
    """

    mistake: str
    put: Put


def pullbacks(
    kinds: Collection[str],
    wrong: Callable[[Pullback, Any, Array, Array], Pulled],
    first: int | None = None,
) -> Put:
    """Puts `wrong`, which is given the right pullback, into (the first) layers of these kinds."""

    def put(model: Model, loss: Loss) -> tuple[Model, Loss]:
        layers = list(model.layers)
        places = [n for n, layer in enumerate(layers) if layer.kind in kinds]
        for n in places[:first]:
            right: Any = layers[n].pullback
            layers[n] = layers[n]._replace(pullback=functools.partial(wrong, right))
        return model._replace(layers=tuple(layers)), loss

    return put


def without_derivative(right: Pullback, p: Any, z: Array, delta: Array) -> Pulled:
    return (), delta


def transposed_weights(right: Pullback, p: Any, a: Array, delta: Array) -> Pulled:
    # The numbers row by row in the other order: a shape check finds nothing.
    return right(p._replace(weights=p.weights.T.reshape(p.weights.shape)), a, delta)


def bias_of_first_image(right: Pullback, p: Any, a: Array, delta: Array) -> Pulled:
    gradient, back = right(p, a, delta)
    return gradient._replace(biases=delta[:, 0]), back


def no_gradient(right: Pullback, p: Any, a: Array, delta: Array) -> Pulled:
    return jax.tree.map(jnp.zeros_like, p), right(p, a, delta)[1]


def without_batch_mean(model: Model, loss: Loss) -> tuple[Model, Loss]:
    def derivative(logits: Array, labels: Array) -> Array:
        return len(labels) * loss.derivative(logits, labels)

    return model, loss._replace(derivative=derivative)


NONE = "none"
FAULTS = {
    NONE: Fault("no mistake", lambda model, loss: (model, loss)),
    "activation_derivative": Fault(
        "BP2 forgets the factor f'(z)", pullbacks(ACTIVATIONS, without_derivative)
    ),
    "batch_mean": Fault("BP1 forgets to divide by the batch size", without_batch_mean),
    "transposed_weights": Fault(
        "BP2 reads the weights as if stored [in, out]", pullbacks({"dense"}, transposed_weights)
    ),
    "bias_sum": Fault(
        "BP3 takes the first image instead of the sum over the batch",
        pullbacks({"dense"}, bias_of_first_image),
    ),
    "off_by_one": Fault(
        "the loop over layers ends one early: layer 1 gets no gradient",
        pullbacks({"dense"}, no_gradient, first=1),
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
