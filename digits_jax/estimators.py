"""Estimators of the gradient, which do not send the error back by equation BP2.

Two send it back by random matrices, which the key of the run fixes. Two look along random
directions, which are drawn anew at each step. All are linear in the loss: the estimate for a batch
is the mean of the estimates for its parts.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int32, Key

from digits_jax.gradients import LossAndLogits, ValueAndGrad, make_mean_loss, manual
from digits_jax.layers import Affine, Layer, Parameters
from digits_jax.losses import Loss
from digits_jax.models import Model, Params

# Of a network, a loss, the run's key, the number of the step, and how many directions to take.
Estimator = Callable[[Model, Loss, Key[Array, ""], Int32[Array, ""], int], ValueAndGrad]

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
        noise = jax.random.normal(jax.random.fold_in(key, n), p.weights.shape, p.weights.dtype)
        return p._replace(weights=noise / math.sqrt(noise.shape[1]))

    return with_feedback(model, loss, feedback)


def with_feedback(
    model: Model, loss: Loss, feedback: Callable[[int, Parameters], Parameters]
) -> ValueAndGrad:
    """`feedback_alignment` with `feedback(n, p)` in place of the parameters p of the n-th layer."""

    def pullback(n: int, layer: Any, p: Any, kept: Any, delta: Array) -> tuple[Any, Array]:
        grad, back = layer.pullback(p, kept, delta)
        affine = isinstance(p, Affine)
        return grad, layer.pullback(feedback(n, p), kept, delta)[1] if affine else back

    return manual(_with_pullbacks(model, pullback), loss)


def direct_feedback_alignment(
    model: Model, loss: Loss, key: Any, step: Any, count: int
) -> ValueAndGrad:
    """The outputs' delta e = dC/dz^L is sent to each layer at once, by a random B: dC/da = B e.

    B is fixed, normal with standard deviation 1/sqrt(classes), and in the place of all layers from
    one with parameters on. Biased (Nokland, Direct feedback alignment provides learning in deep
    neural networks, 2016). With one hidden layer it is feedback alignment by B^T.
    """

    def pullback(n: int, layer: Any, p: Any, kept: Any, pulled: Any) -> tuple[Any, Any]:
        # The last layer is given e; those before it their delta, with e beside it.
        delta, e = pulled if isinstance(pulled, tuple) else (pulled, pulled)
        grad, back = layer.pullback(p, kept, delta)
        if p:
            shape = (len(back), *back.shape[2:], len(e))
            noise = jax.random.normal(jax.random.fold_in(key, n), shape, e.dtype)
            back = jnp.moveaxis(jnp.tensordot(noise / math.sqrt(len(e)), e, 1), -1, 1)
        return grad, (back, e)

    return manual(_with_pullbacks(model, pullback), loss)


def forward_gradient(model: Model, loss: Loss, key: Any, step: Any, count: int) -> ValueAndGrad:
    """The derivative along v, by forward mode, times v from N(0, I): g = (dC/dtheta . v) v.

    Unbiased, as E[v v^T] = I. Of d parameters and N directions E|g - dC/dtheta|^2 is
    (d + 1) / N |dC/dtheta|^2 (Baydin, Pearlmutter, Syme, Wood and Torr, Gradients without
    backpropagation, 2022, definition 1).
    """

    def slope(cost: Callable[[Array], Array], theta: Array, v: Array) -> Any:
        return jax.jvp(cost, (theta,), (v,))[1]

    return _along_directions(model, loss, jax.random.fold_in(key, step), count, slope)


def evolution(model: Model, loss: Loss, key: Any, step: Any, count: int) -> ValueAndGrad:
    """By losses alone: g = (C(theta + s v) - C(theta - s v)) / 2s v, with s = `SIGMA`.

    Antithetic evolution strategies (Salimans, Ho, Chen, Sidor and Sutskever, Evolution strategies
    as a scalable alternative to reinforcement learning, 2017), which with v of plus and minus ones
    are SPSA (Spall, Multivariate stochastic approximation using a simultaneous perturbation
    gradient approximation, 1992). Unbiased for the mean of C over N(theta, s^2 I).
    """

    def slope(cost: Callable[[Array], Array], theta: Array, v: Array) -> Any:
        return (cost(theta + SIGMA * v) - cost(theta - SIGMA * v)) / (2 * SIGMA)

    return _along_directions(model, loss, jax.random.fold_in(key, step), count, slope)


def _by_jax(layer: Layer) -> Layer:
    """The layer with a pullback by JAX, which is what its forward keeps."""

    def forward(p: Any, state: Any, a: Any, key: Any) -> tuple[Any, Any, Any]:
        def output(p: Any, a: Any) -> tuple[Any, Any]:
            z, _, after = layer.forward(p, state, a, key)
            return z, after

        return jax.vjp(output, p, a, has_aux=True)

    return layer._replace(forward=forward, pullback=lambda p, vjp, delta: vjp(delta))


def _with_pullbacks(model: Model, pullback: Callable[..., tuple[Any, Any]]) -> Model:
    params = jax.eval_shape(model.init, jax.random.key(0))
    layers = []
    for n, (layer, p) in enumerate(zip(model.layers, params, strict=True)):
        if not isinstance(p, Affine) and layer.role != "norm" and jax.tree.leaves(p):
            raise ValueError(
                f"feedback by random weights is not defined through {layer.kind}: train this "
                "network by autodiff, manual, forward_gradient or evolution"
            )
        derived = layer if layer.pullback else _by_jax(layer)
        layers.append(derived._replace(pullback=functools.partial(pullback, n, derived)))
    return model._replace(layers=tuple(layers))


def _along_directions(
    model: Model, loss: Loss, key: Any, count: int, slope: Callable[..., Any]
) -> ValueAndGrad:
    """The mean of slope(C, theta, v) v over `count` v from N(0, I), one after the other."""
    mean_loss = make_mean_loss(model, loss)

    def value_and_grad(params: Params, *batch: Array) -> tuple[LossAndLogits, Params]:
        theta, unravel = ravel_pytree(params)

        def add(n: Any, total: Array) -> Any:
            v = jax.random.normal(jax.random.fold_in(key, n), theta.shape, theta.dtype)
            return total + slope(lambda t: mean_loss(unravel(t), *batch)[0], theta, v) * v

        total = jax.lax.fori_loop(0, count, add, jnp.zeros_like(theta))
        return mean_loss(params, *batch), unravel(total / count)

    return value_and_grad


# The values of `--gradients` besides the names in `gradients.GRADIENTS`.
ESTIMATORS: dict[str, Estimator] = {
    "feedback_alignment": feedback_alignment,
    "direct_feedback_alignment": direct_feedback_alignment,
    "forward_gradient": forward_gradient,
    "evolution": evolution,
}
