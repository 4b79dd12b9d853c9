"""The loss of a batch and its gradient: by automatic differentiation, and by hand.

`autodiff` and `manual` are for training. `forward_mode` and `finite_differences` need a pass for
each parameter; they are here for comparison.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from digits_jax.layers import Layer, State, chain
from digits_jax.losses import Loss
from digits_jax.models import Model, Params, through

# The mean loss, and the logits, so that nothing computes them twice. A call with a state gives
# (logits, state after) in place of the logits.
LossAndLogits = tuple[Float[Array, ""], Any]
# Parameters, images and labels; for a network with state or random numbers, state and key as well.
ValueAndGrad = Callable[..., tuple[LossAndLogits, Params]]
MeanLoss = Callable[..., LossAndLogits]
# From logits and labels to dC/d(logits), C being the mean loss of the batch.
OfLogits = Callable[
    [Float[Array, "batch classes"], Int[Array, " batch"]], Float[Array, "batch classes"]
]

# Directions that forward_mode and finite_differences take at a time: more of them need more memory,
# and on a CPU leave its cache.
CHUNK = 16


def make_mean_loss(model: Model, loss: Loss) -> MeanLoss:
    """The mean loss of a batch as a function of the parameters: what every gradient is of.

    It is the loss of a step of training. The state and the key of that step come after the labels;
    without them they are the first state and a fixed key.
    """

    def mean_loss(
        params: Params,
        images: Float[Array, "batch height width"],
        labels: Int[Array, " batch"],
        *given: Any,
    ) -> LossAndLogits:
        state, key = given or first(model)
        logits, _, after = model.forward(params, state, images, key)
        with jax.named_scope("loss"):
            return jnp.mean(loss.function(logits, labels)), (logits, after) if given else logits

    return mean_loss


def first(model: Model) -> tuple[State, Any]:
    """The first state, and a fixed key where the network makes use of one."""
    state = model.state()
    if not model.draws and not jax.tree.leaves(state):
        return state, None
    with jax.ensure_compile_time_eval():
        return state, jax.random.key(0)


def autodiff(model: Model, loss: Loss) -> ValueAndGrad:
    """The mean loss of a batch and its gradient, by reverse-mode automatic differentiation.

    It costs a small multiple of the loss alone, however many parameters there are: at most five
    times its arithmetic operations (Baur and Strassen, The complexity of partial derivatives, 1983;
    the cheap gradient principle of Griewank and Walther, Evaluating Derivatives, 2008).
    """
    return jax.value_and_grad(make_mean_loss(model, loss), has_aux=True)


def manual(model: Model, loss: Loss, bp1: OfLogits | None = None) -> ValueAndGrad:
    """The mean loss and its gradient by hand, for any chain of layers: back-propagation.

    With C the mean loss of a batch, delta begins as the derivative of C with respect to the logits,

        BP1  delta = dC/dz^L,

    and the chain's pullback takes it back through those of its layers. For dense layers they are
    the equations BP2 to BP4 of Rumelhart, Hinton and Williams (1986; numbered as in Nielsen, 2015,
    chapter 2).

    Args:
        model: the network.
        loss: the loss.
        bp1: dC/dz^L from logits and labels; by default `loss.derivative`, divided by the batch
            size.

    Raises:
        ValueError: where a layer has no derivative written by hand.
    """
    if missing := underived(model.layers):
        raise ValueError(f"{missing} has no derivative written by hand")
    if bp1 is None and not callable(loss.derivative):
        raise ValueError("the loss has no derivative written by hand")
    network = chain(*model.layers)
    forward = through(network)

    def of_mean(logits: Array, labels: Array) -> Array:
        return loss.derivative(logits, labels) / len(labels)  # BP1

    def value_and_grad(
        params: Params,
        images: Float[Array, "batch height width"],
        labels: Int[Array, " batch"],
        *given: Any,
    ) -> tuple[LossAndLogits, Params]:
        state, key = given or first(model)
        logits, kept, after = forward(params, state, images, key)
        with jax.named_scope("pullback(loss)"):
            delta = (bp1 or of_mean)(logits, labels).T
        assert network.pullback
        grads, _ = network.pullback(params, kept, delta)
        with jax.named_scope("loss"):
            mean_loss = jnp.mean(loss.function(logits, labels))
        return (mean_loss, (logits, after) if given else logits), grads

    return value_and_grad


def underived(layers: Sequence[Layer]) -> str:
    """The kind of the first layer, also inside others, without a pullback; "" if all have one."""
    inner = (underived(layer.layers) or layer.kind for layer in layers if not layer.pullback)
    return next(inner, "")


def averaged(value_and_grad: ValueAndGrad, axis: str) -> ValueAndGrad:
    """The gradient of a batch that is spread over a mesh axis; the loss is that of each part.

    Inside `jax.shard_map`. Every part has the same number of images: the gradient of the batch's
    mean loss is the mean of the parts' gradients, which one all-reduce sends as one vector.
    """

    def average(params: Params, *batch: Any) -> tuple[LossAndLogits, Params]:
        # Else jax.grad, of parameters that all devices have in common, would sum by itself.
        params = jax.lax.pcast(params, axis, to="varying")
        value, grads = value_and_grad(params, *batch)
        vector, unravel = ravel_pytree(grads)
        return value, unravel(jax.lax.pmean(vector, axis))  # type: ignore[no-untyped-call]

    return average


def forward_mode(model: Model, loss: Loss, chunk: int = CHUNK) -> ValueAndGrad:
    """The gradient by forward-mode differentiation: dC/dtheta_i = J_C(theta) e_i for every i.

    Exact, but as many passes as there are parameters: forward mode gives a derivative along one
    direction (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3).

    Args:
        model: the network.
        loss: the loss.
        chunk: parameters at a time; memory grows with it.
    """
    mean_loss = make_mean_loss(model, loss)

    def value_and_grad(params: Params, *batch: Any) -> tuple[LossAndLogits, Params]:
        theta, unravel = ravel_pytree(params)

        def cost(theta: Float[Array, " parameters"]) -> Float[Array, ""]:
            return mean_loss(unravel(theta), *batch)[0]

        def partial_derivative(i: Int[Array, ""]) -> Float[Array, ""]:
            e_i = jnp.zeros_like(theta).at[i].set(1)
            derivative: Float[Array, ""] = jax.jvp(cost, (theta,), (e_i,))[1]
            return derivative

        return mean_loss(params, *batch), unravel(
            _for_every_parameter(partial_derivative, theta.size, chunk)
        )

    return value_and_grad


def finite_differences(
    model: Model, loss: Loss, chunk: int = CHUNK, step: float | None = None
) -> ValueAndGrad:
    """The gradient by central differences: (C(theta + h e_i) - C(theta - h e_i)) / 2h for every i.

    Approximate: the error is about h^2 from the next terms of Taylor's series and epsilon / h from
    rounding, least near h = epsilon^(1/3) (Dennis and Schnabel, Numerical Methods for Unconstrained
    Optimization, 1983, section 5.4): some 1e-10 in float64, and of little use below.

    Args:
        model: the network.
        loss: the loss.
        chunk: parameters at a time; memory grows with it.
        step: h; by default the cube root of the machine epsilon of the parameters' type.
    """
    mean_loss = make_mean_loss(model, loss)

    def value_and_grad(params: Params, *batch: Any) -> tuple[LossAndLogits, Params]:
        theta, unravel = ravel_pytree(params)
        epsilon = float(jnp.finfo(theta.dtype).eps)  # type: ignore[no-untyped-call]
        h = epsilon ** (1 / 3) if step is None else step

        def cost(theta: Float[Array, " parameters"]) -> Float[Array, ""]:
            return mean_loss(unravel(theta), *batch)[0]

        def partial_derivative(i: Int[Array, ""]) -> Float[Array, ""]:
            return (cost(theta.at[i].add(h)) - cost(theta.at[i].add(-h))) / (2 * h)

        return mean_loss(params, *batch), unravel(
            _for_every_parameter(partial_derivative, theta.size, chunk)
        )

    return value_and_grad


def _for_every_parameter(
    partial_derivative: Callable[[Int[Array, ""]], Float[Array, ""]], size: int, chunk: int
) -> Float[Array, " parameters"]:
    # Whole chunks only, as a rest would be compiled again: indices past the end change nothing.
    indices = jnp.arange(-(-size // chunk) * chunk)
    derivatives: Float[Array, " rounded"] = jax.lax.map(
        partial_derivative, indices, batch_size=chunk
    )
    return derivatives[:size]


# The gradients that a run can be trained by, by name.
GRADIENTS: dict[str, Callable[[Model, Loss], ValueAndGrad]] = {
    "autodiff": autodiff,
    "manual": manual,
}
