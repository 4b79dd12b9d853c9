"""The loss of a batch and its gradient: by automatic differentiation, and by hand."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from digits_jax.activations import Activation
from digits_jax.losses import Loss
from digits_jax.models import Layer, Model, Params, affine

ValueAndGrad = Callable[
    [Params, Float[Array, "batch height width"], Int[Array, " batch"]],
    tuple[Float[Array, ""], Params],
]


def autodiff(model: Model, loss: Loss) -> ValueAndGrad:
    """The mean loss of a batch and its gradient, by reverse-mode automatic differentiation."""

    def mean_loss(
        params: Params, images: Float[Array, "batch height width"], labels: Int[Array, " batch"]
    ) -> Float[Array, ""]:
        return jnp.mean(loss.function(model.apply(params, images), labels))

    return jax.value_and_grad(mean_loss)


def manual(activation: Activation, loss: Loss) -> ValueAndGrad:
    """The same by hand, for a multi-layer perceptron of any depth: back-propagation.

    With z^l = a^(l-1) W^lT + b^l and a^l = f(z^l), rows being the examples of a batch, and delta^l
    the derivative of the mean loss C with respect to z^l, these are the four equations (Rumelhart,
    Hinton and Williams, 1986; numbered as in Nielsen, 2015, chapter 2):

        BP1  delta^L  = dC/dz^L
        BP2  delta^l  = (delta^(l+1) W^(l+1)) * f'(z^l)
        BP3  dC/db^l  = sum of delta^l over the batch
        BP4  dC/dW^l  = delta^lT a^(l-1)

    Raises:
        ValueError: where the activation has no derivative written by hand.
    """
    f, f_prime = activation
    if f_prime is None:
        raise ValueError("this activation has no derivative written by hand")

    def value_and_grad(
        params: Params, images: Float[Array, "batch height width"], labels: Int[Array, " batch"]
    ) -> tuple[Float[Array, ""], Params]:
        *hidden, output = params
        a = [images.reshape(len(images), -1)]
        z = []
        for layer in hidden:
            z.append(affine(layer, a[-1]))
            a.append(f(z[-1]))
        logits = affine(output, a[-1])
        value = jnp.mean(loss.function(logits, labels))

        delta = loss.derivative(logits, labels) / len(labels)  # BP1
        grads = [Layer(weights=delta.T @ a[-1], biases=delta.sum(axis=0))]
        for l in reversed(range(len(hidden))):
            delta = (delta @ params[l + 1].weights) * f_prime(z[l])  # BP2
            grads.append(Layer(weights=delta.T @ a[l], biases=delta.sum(axis=0)))  # BP4, BP3
        return value, tuple(reversed(grads))

    return value_and_grad
