"""The classic training in NumPy by hand, vectorised over the batch, in its plain form.

Nothing here comes from the library; `numpy_training` is the same as fast as it goes. Weights are
[out, in]; every array keeps the type of the parameters, so float32 in, float32 out. The equations
are numbered as in Nielsen, Neural Networks and Deep Learning, 2015, chapter 2.
"""

import numpy as np
from numpy.typing import NDArray

from experiments.peers import numpy_backprop
from experiments.peers.numpy_backprop import Floats, Layers, f


def f_prime(name: str, z: Floats, a: Floats) -> Floats:
    """The derivative of the activation `name` at z, from its value a = f(z) where that is less."""
    match name:
        case "sigmoid":
            return np.asarray(a * (1 - a))
        case "tanh":
            return np.asarray(1 - a * a)
    return numpy_backprop.f_prime(name, z)


def cost(name: str, z: Floats, labels: NDArray[np.integer]) -> tuple[float, Floats]:
    """The mean loss `name` of outputs z, [batch, classes], and its derivative: dC/dz.

    Args:
        name: quadratic (of sigmoid outputs) or cross_entropy (of softmax outputs).
        z: outputs of the last layer, before any activation.
        labels: [batch].
    """
    count, rows = len(z), np.arange(len(z))
    match name:
        case "quadratic":
            a = f("sigmoid", z)
            error = a.copy()
            error[rows, labels] -= 1
            return float(np.vdot(error, error)) / (2 * count), error * (a * (1 - a)) / count
        case "cross_entropy":
            shifted = z - z.max(axis=1, keepdims=True)
            p = np.exp(shifted)
            sums = p.sum(axis=1, keepdims=True)
            p /= sums
            value = float(np.mean(np.log(sums[:, 0]) - shifted[rows, labels]))
            p[rows, labels] -= 1
            return value, p / count
    raise ValueError(f"no loss {name}")


def value_and_grad(
    layers: Layers,
    images: Floats,
    labels: NDArray[np.integer],
    activation: str,
    loss: str,
) -> tuple[float, Layers]:
    """The mean loss of a batch and its gradient.

    Args:
        layers: weights [out, in] and biases [out] of each layer.
        images: [batch, height, width], in [0, 1].
        labels: [batch].
        activation: sigmoid, tanh, relu or gelu, after every layer but the last.
        loss: quadratic or cross_entropy, as in `cost`.
    """
    a, z = [images.reshape(len(images), -1)], []
    for weights, biases in layers[:-1]:
        z.append(a[-1] @ weights.T + biases)
        a.append(f(activation, z[-1]))
    weights, biases = layers[-1]
    value, delta = cost(loss, a[-1] @ weights.T + biases, labels)  # BP1
    gradient = [(delta.T @ a[-1], delta.sum(axis=0))]  # BP4, BP3
    for l in reversed(range(len(layers) - 1)):
        delta = (delta @ layers[l + 1][0]) * f_prime(activation, z[l], a[l + 1])  # BP2
        gradient.append((delta.T @ a[l], delta.sum(axis=0)))
    return value, gradient[::-1]
