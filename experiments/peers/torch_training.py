"""The classic training in PyTorch: tensors that stay where they are, no DataLoader, autograd."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from experiments.peers import classic
from experiments.peers.classic import CLASSES, HIDDEN, LEARNING_RATE, PIXELS, Data, Training


def loss(parameters: Any, x: Any, y: Any) -> Any:
    """The classic cost of a batch: half the squared distance of outputs and targets, its mean."""
    w1, b1, w2, b2 = parameters
    hidden = torch.sigmoid(functional.linear(x, w1, b1))
    outputs = torch.sigmoid(functional.linear(hidden, w2, b2))
    return functional.mse_loss(outputs, y, reduction="sum") * (0.5 / len(y))


def make_training(
    data: Data, batch_size: int, update: str = "eager", rows: str = "float32"
) -> Training:
    """Gradient descent with gradients by torch.autograd, or all of a step by torch.compile.

    Args:
        data: what to train on and to score.
        batch_size: images a step.
        update: `eager` or `compiled`.
        rows: the type that images are gathered in; uint8 is turned into float32 by the batch.
    """
    images, test_images = (torch.from_numpy(a.copy()) for a in (data.images, data.test_images))
    images = images if rows == "uint8" else images.float() / 255
    labels, test_labels = (
        torch.from_numpy(a.astype(np.int64)) for a in (data.labels, data.test_labels)
    )
    targets = functional.one_hot(labels, CLASSES).float()
    shapes = ((HIDDEN, PIXELS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,))
    parameters = [torch.zeros(shape, requires_grad=update != "compiled") for shape in shapes]
    generator = torch.Generator()

    def start(seed: int) -> None:
        generator.manual_seed(seed)
        with torch.no_grad():
            for parameter in parameters:
                if parameter.ndim == 2:
                    parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
                else:
                    parameter.zero_()

    def batch(images: Any, targets: Any, chosen: Any) -> tuple[Any, Any]:
        x = images[chosen]
        return (x.float() / 255 if rows == "uint8" else x), targets[chosen]

    def eager(parameters: Any, images: Any, targets: Any, chosen: Any) -> None:
        gradients = torch.autograd.grad(
            loss(parameters, *batch(images, targets, chosen)), parameters
        )
        with torch.no_grad():
            torch._foreach_add_(parameters, gradients, alpha=-LEARNING_RATE)

    # Gather, gradient and update in one program: a third of the time of a compiled loss alone.
    def compiled(parameters: Any, images: Any, targets: Any, chosen: Any) -> None:
        gradients = torch.func.grad(loss)(parameters, *batch(images, targets, chosen))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=LEARNING_RATE)

    step: Any = eager
    if update == "compiled":
        # A code object of its own: torch.compile keeps at most eight programs for one.
        compiled.__code__ = compiled.__code__.replace()
        options = {"cpp_wrapper": True}
        step = torch.compile(compiled, dynamic=False, fullgraph=True, options=options)
        step = torch.no_grad()(step)

    def train(steps: int) -> None:
        order = torch.randperm(len(labels), generator=generator)
        for chosen in order[: steps * batch_size].split(batch_size):
            step(parameters, images, targets, chosen)

    def accuracy() -> float:
        w1, b1, w2, b2 = parameters
        with torch.no_grad():
            hidden = torch.sigmoid(functional.linear(test_images.float() / 255, w1, b1))
            predictions = functional.linear(hidden, w2, b2).argmax(1)
        return int((predictions == test_labels).sum()) / len(test_labels)

    def copies() -> list[tuple[Any, Any]]:
        w1, b1, w2, b2 = (parameter.detach().numpy().copy() for parameter in parameters)
        return [(w1, b1), (w2, b2)]

    return Training(start, train, accuracy, copies)


def multiply(size: int) -> Callable[[], Any]:
    """What multiplies two matrices."""
    a, b = map(torch.from_numpy, classic.matrices(size))
    return partial(torch.mm, a, b, out=torch.empty_like(a))


if __name__ == "__main__":
    classic.main(make_training, multiply)
