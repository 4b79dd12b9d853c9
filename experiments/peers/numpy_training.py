"""The classic training in NumPy as fast as it goes: in place, nothing allocated in the loop.

`numpy_vectorised` says the same in the plain form. The equations are numbered as in Nielsen, Neural
Networks and Deep Learning, 2015, chapter 2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.peers import classic
from experiments.peers.classic import CLASSES, HIDDEN, LEARNING_RATE, PIXELS, Data, Training

Floats = NDArray[Any]


def draw(seed: int) -> list[Floats]:
    """Weights [out, in], normal with standard deviation 1/sqrt(inputs), and biases 0, by layer."""
    generator = np.random.default_rng(seed)
    arrays = []
    for outputs, inputs in ((HIDDEN, PIXELS), (CLASSES, HIDDEN)):
        noise = generator.standard_normal((outputs, inputs), np.float32)
        arrays += [noise / np.float32(np.sqrt(inputs)), np.zeros(outputs, np.float32)]
    return arrays


def make_training(
    data: Data, batch_size: int, layout: str = "out, in", rows: str = "float32"
) -> Training:
    """Gradient descent over reused arrays.

    Args:
        data: what to train on and to score.
        batch_size: images a step.
        layout: of the weights, `out, in` or `in, out`.
        rows: the type that images are gathered in; uint8 is turned into float32 by the batch.
    """
    out_in = layout == "out, in"
    w1, w2 = (
        np.empty(shape if out_in else shape[::-1], np.float32)
        for shape in ((HIDDEN, PIXELS), (CLASSES, HIDDEN))
    )
    forward1, forward2 = (w.T if out_in else w for w in (w1, w2))  # views [in, out]
    b1, b2 = np.empty(HIDDEN, np.float32), np.empty(CLASSES, np.float32)
    x, y, a1, delta1, slope1, a2, delta2, slope2 = (
        np.empty((batch_size, columns), np.float32)
        for columns in (PIXELS, CLASSES, *(HIDDEN,) * 3, *(CLASSES,) * 3)
    )
    grey = np.empty((batch_size, PIXELS), np.uint8)
    gradients = [np.empty_like(array) for array in (w1, b1, w2, b2)]
    one, scale = np.float32(1), np.float32(1 / 255)
    step_length, ones = np.float32(-LEARNING_RATE / batch_size), np.ones(batch_size, np.float32)
    pixels = data.images.astype(np.float32) * scale if rows == "float32" else None
    targets = np.eye(CLASSES, dtype=np.float32)[data.labels]
    generator = np.random.default_rng()

    def start(seed: int) -> None:
        nonlocal generator
        generator = np.random.default_rng(seed + 1)
        drawn = draw(seed)
        forward1[:], b1[:], forward2[:], b2[:] = drawn[0].T, drawn[1], drawn[2].T, drawn[3]

    def sigmoid(z: Floats) -> None:
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, one, out=z)
        np.reciprocal(z, out=z)

    def times_slope(delta: Floats, a: Floats, slope: Floats) -> None:
        np.subtract(one, a, out=slope)
        np.multiply(slope, a, out=slope)
        np.multiply(delta, slope, out=delta)

    # np.dot throughout: np.matmul takes eight times as long for the outer product of batch 1.
    def descend(delta: Floats, a: Floats, w: Floats, b: Floats, gw: Floats, gb: Floats) -> None:
        np.dot(*((delta.T, a) if out_in else (a.T, delta)), out=gw)  # BP4
        np.dot(ones, delta, out=gb)  # BP3
        np.add(w, gw, out=w)
        np.add(b, gb, out=b)

    def train(steps: int) -> None:
        order = generator.permutation(len(targets))
        for first in range(0, steps * batch_size, batch_size):
            chosen = order[first : first + batch_size]
            # mode="clip": with the default, take() copies through a buffer.
            if pixels is None:
                data.images.take(chosen, axis=0, out=grey, mode="clip")
                np.multiply(grey, scale, out=x)
            else:
                pixels.take(chosen, axis=0, out=x, mode="clip")
            targets.take(chosen, axis=0, out=y, mode="clip")

            np.dot(x, forward1, out=a1)
            np.add(a1, b1, out=a1)
            sigmoid(a1)
            np.dot(a1, forward2, out=a2)
            np.add(a2, b2, out=a2)
            sigmoid(a2)

            np.subtract(a2, y, out=delta2)
            times_slope(delta2, a2, slope2)  # BP1
            np.multiply(delta2, step_length, out=delta2)
            np.dot(delta2, forward2.T, out=delta1)
            times_slope(delta1, a1, slope1)  # BP2
            descend(delta2, a1, w2, b2, *gradients[2:])
            descend(delta1, x, w1, b1, *gradients[:2])

    def accuracy() -> float:
        hidden: Floats = data.test_images.astype(np.float32) * scale @ forward1 + b1
        sigmoid(hidden)
        predictions = np.argmax(hidden @ forward2 + b2, axis=1)
        return float(np.mean(predictions == data.test_labels))

    def parameters() -> list[tuple[Floats, Floats]]:
        return [(forward1.T.copy(), b1.copy()), (forward2.T.copy(), b2.copy())]

    def quietly(function: Any) -> Any:
        # exp overflows where a sigmoid is 0, which is what comes out.
        return np.errstate(over="ignore")(function)

    return Training(start, quietly(train), quietly(accuracy), parameters)


def multiply(size: int) -> Callable[[], Any]:
    """What multiplies two matrices."""
    a, b = classic.matrices(size)
    return partial(np.matmul, a, b, out=np.empty_like(a))


if __name__ == "__main__":
    classic.main(make_training, multiply)
