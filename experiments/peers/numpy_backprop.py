"""Back-propagation as first taught: NumPy, one image at a time, from the four equations.

Nothing here comes from the library: functions and derivatives are written anew, so that where the
gradients agree, each is evidence for the other. The equations are numbered as in Nielsen, Neural
Networks and Deep Learning, 2015, chapter 2.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Layers = list[tuple[Floats, Floats]]  # weights [out, in] and biases [out] of each layer


def f(name: str, z: Floats) -> Floats:
    """The activation `name` at z."""
    match name:
        case "sigmoid":
            return 1 / (1 + np.exp(-z))
        case "tanh":
            return np.sinh(z) / np.cosh(z)
        case "relu":
            return np.maximum(z, 0)
        case "gelu":
            return z * _normal_cdf(z)
    raise ValueError(f"no activation {name}")


def f_prime(name: str, z: Floats) -> Floats:
    """Its derivative at z."""
    match name:
        case "sigmoid":
            return np.asarray(np.exp(-z) / (1 + np.exp(-z)) ** 2)
        case "tanh":
            return 1 / np.cosh(z) ** 2
        case "relu":
            return (z > 0).astype(z.dtype)
        case "gelu":
            return _normal_cdf(z) + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    raise ValueError(f"no activation {name}")


def _normal_cdf(z: Floats) -> Floats:
    values = [math.erfc(-value / math.sqrt(2)) / 2 for value in z.flat]
    return np.array(values, dtype=z.dtype).reshape(z.shape)


def cost(name: str, z: Floats, label: int) -> tuple[float, Floats]:
    """The loss `name` of one image with output z, and its derivative with respect to z."""
    y = np.zeros_like(z)
    y[label] = 1
    match name:
        case "quadratic":
            a = f("sigmoid", z)
            return float(np.sum((a - y) ** 2)) / 2, (a - y) * f_prime("sigmoid", z)
        case "cross_entropy":
            exponentials = np.exp(z - z.max())
            p = exponentials / exponentials.sum()
            return -math.log(p[label]), p - y
    raise ValueError(f"no loss {name}")


def backprop(
    layers: Layers, x: Floats, label: int, activation: str, loss: str
) -> tuple[float, Layers]:
    """The loss of one image and its gradient.

    Args:
        layers: the network.
        x: the pixels, [inputs], in [0, 1].
        label: the class.
        activation: sigmoid, tanh, relu or gelu, after every layer but the last.
        loss: quadratic (of sigmoid outputs) or cross_entropy (of softmax outputs).
    """
    activations, zs = [x], []
    for weights, biases in layers:
        zs.append(weights @ activations[-1] + biases)
        activations.append(f(activation, zs[-1]))
    value, delta = cost(loss, zs[-1], label)  # BP1
    gradient = [(np.outer(delta, activations[-2]), delta)]  # BP4, BP3
    for l in range(len(layers) - 2, -1, -1):
        weights_above, _ = layers[l + 1]
        delta = (weights_above.T @ delta) * f_prime(activation, zs[l])  # BP2
        gradient.insert(0, (np.outer(delta, activations[l]), delta))
    return value, gradient


def value_and_grad(
    layers: Layers,
    images: Floats,
    labels: NDArray[np.integer],
    activation: str,
    loss: str,
) -> tuple[float, Layers]:
    """The mean loss of a batch and its gradient: the mean over its images.

    Args:
        layers: the network.
        images: [batch, height, width], in [0, 1].
        labels: [batch].
        activation: as in `backprop`.
        loss: as in `backprop`.
    """
    total = 0.0
    sums = [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in layers]
    for image, label in zip(images, labels, strict=True):
        value, gradient = backprop(layers, image.ravel(), int(label), activation, loss)
        total += value
        sums = [(sw + w, sb + b) for (sw, sb), (w, b) in zip(sums, gradient, strict=True)]
    count = len(labels)
    return total / count, [(weights / count, biases / count) for weights, biases in sums]
