"""Other ways to a gradient: what comes near it without sending the error back by equation BP2.

Two send it back by fixed random matrices, and two look along random directions. Matrices come from
the run's key, directions from that with the step folded in. All are linear in the loss: the mean
of the estimates for the parts of a batch is the estimate for the batch.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Int32, Key

from digits_jax.gradients import LossAndLogits, ValueAndGrad, make_mean_loss, manual
from digits_jax.layers import Layer, Parameters
from digits_jax.losses import Loss
from digits_jax.models import Model, Params

# Of a network, a loss, the run's key, the number of the step, and how many directions to take.
Estimator = Callable[[Model, Loss, Key[Array, ""], Int32[Array, ""], int], ValueAndGrad]
Slope = Callable[[Callable[[Array], Array], Array, Array], Array]

# The standard deviation of what evolution adds to every parameter.
SIGMA = 0.01


def feedback_alignment(model: Model, loss: Loss, key: Any, step: Any, count: int) -> ValueAndGrad:
    """Back-propagation by fixed random weights B^l, drawn like W^l, in BP2: dC/da = B^T delta.

    Biased. In training W aligns with B, until what B sends back is within 90 degrees of what W
    would (Lillicrap, Cownden, Tweed and Akerman, Random synaptic feedback weights support error
    backpropagation for deep learning, Nature Communications 7:13276, 2016).
    """

    def feedback(n: int, p: Any) -> Any:
        # A key for each layer: nothing needs, and nothing draws, those of the first, the largest.
        w = p.weights
        noise = jax.random.normal(jax.random.fold_in(key, n), w.shape, w.dtype)
        return p._replace(weights=noise / math.sqrt(w.shape[1]))

    return with_feedback(model, loss, feedback)


def with_feedback(
    model: Model, loss: Loss, feedback: Callable[[int, Parameters], Parameters]
) -> ValueAndGrad:
    """As `feedback_alignment`, by what `feedback` gives for the parameters of the n-th layer."""

    def pullback(n: int, layer: Layer, p: Any, a: Array, delta: Array) -> tuple[Any, Array]:
        grad, back = _pull(layer, p, a, delta)
        return grad, _pull(layer, feedback(n, p), a, delta)[1] if p else back

    return manual(_with_pullbacks(model, pullback), loss)


def direct_feedback_alignment(
    model: Model, loss: Loss, key: Any, step: Any, count: int
) -> ValueAndGrad:
    """The outputs' delta e = dC/dz^L is sent to each layer at once, by a random B: dC/da = B e.

    B is fixed, normal with standard deviation 1/sqrt(classes), and in the place of all layers from
    one with parameters on; through pools and activations before it delta goes as ever. Biased
    (Nokland, Direct feedback alignment provides learning in deep neural networks, 2016). With one
    hidden layer it is feedback alignment by the transpose of B.
    """

    def pullback(n: int, layer: Layer, p: Any, a: Array, pulled: Any) -> tuple[Any, Any]:
        # The last layer is given e; those before it their delta, with e beside it.
        delta, e = pulled if isinstance(pulled, tuple) else (pulled, pulled)
        grad, back = _pull(layer, p, a, delta)
        if p:
            shape = (len(a), *a.shape[2:], len(e))
            noise = jax.random.normal(jax.random.fold_in(key, n), shape, e.dtype)
            back = jnp.moveaxis(jnp.tensordot(noise / math.sqrt(len(e)), e, 1), -1, 1)
        return grad, (back, e)

    return manual(_with_pullbacks(model, pullback), loss)


def forward_gradient(model: Model, loss: Loss, key: Any, step: Any, count: int) -> ValueAndGrad:
    """The derivative along v, by forward mode, times v from N(0, I): g = (dC/dtheta . v) v.

    Unbiased, as E[v v^T] = I. Of d parameters and the mean of N directions, the expected
    |g - dC/dtheta|^2 is (d + 1) / N |dC/dtheta|^2 (Baydin, Pearlmutter, Syme, Wood and Torr,
    Gradients without backpropagation, 2022, definition 1).
    """
    return _along_directions(
        model, loss, jax.random.fold_in(key, step), count, lambda c, x, v: jax.jvp(c, (x,), (v,))[1]
    )


def evolution(model: Model, loss: Loss, key: Any, step: Any, count: int) -> ValueAndGrad:
    """The same by losses alone: g = (C(theta + s v) - C(theta - s v)) / 2s v, with s = `SIGMA`.

    Antithetic evolution strategies (Salimans, Ho, Chen, Sidor and Sutskever, Evolution strategies
    as a scalable alternative to reinforcement learning, 2017), which with v of plus and minus ones
    are SPSA (Spall, Multivariate stochastic approximation using a simultaneous perturbation
    gradient approximation, 1992). Unbiased for the mean of C over N(theta, s^2 I); for C itself up
    to terms of the order of s^2.
    """

    def slope(cost: Callable[[Array], Array], theta: Array, v: Array) -> Array:
        return (cost(theta + SIGMA * v) - cost(theta - SIGMA * v)) / (2 * SIGMA)

    return _along_directions(model, loss, jax.random.fold_in(key, step), count, slope)


def _pull(layer: Layer, p: Any, a: Array, delta: Array) -> tuple[Any, Array]:
    """By the pullback written by hand or, where there is none, by that of JAX."""
    if layer.pullback:
        return layer.pullback(p, a, delta)
    pulled: tuple[Any, Array] = jax.vjp(layer.forward, p, a)[1](delta)
    return pulled


def _with_pullbacks(model: Model, pullback: Callable[..., tuple[Any, Any]]) -> Model:
    layers = enumerate(model.layers)
    pulled = [(layer, functools.partial(pullback, n, layer)) for n, layer in layers]
    return model._replace(layers=tuple(layer._replace(pullback=pull) for layer, pull in pulled))


def _along_directions(model: Model, loss: Loss, key: Any, count: int, slope: Slope) -> ValueAndGrad:
    """The mean of slope(C, theta, v) v over `count` v from N(0, I), one after the other."""
    mean_loss = make_mean_loss(model, loss)

    def value_and_grad(
        params: Params, images: Float[Array, "batch height width"], labels: Int[Array, " batch"]
    ) -> tuple[LossAndLogits, Params]:
        theta, unravel = ravel_pytree(params)

        def cost(theta: Float[Array, " parameters"]) -> Float[Array, ""]:
            return mean_loss(unravel(theta), images, labels)[0]

        def add(n: Int[Array, ""], total: Float[Array, " parameters"]) -> Array:
            v = jax.random.normal(jax.random.fold_in(key, n), theta.shape, theta.dtype)
            return total + slope(cost, theta, v) * v

        total = jax.lax.fori_loop(0, count, add, jnp.zeros_like(theta))
        return mean_loss(params, images, labels), unravel(total / count)

    return value_and_grad


# By name, as `--gradients` takes them beside those of `gradients.GRADIENTS`.
ESTIMATORS: dict[str, Estimator] = {
    "feedback_alignment": feedback_alignment,
    "direct_feedback_alignment": direct_feedback_alignment,
    "forward_gradient": forward_gradient,
    "evolution": evolution,
}
