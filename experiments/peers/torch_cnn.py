"""The network of recipes/cnn.flags in PyTorch: convolutions, softmax cross-entropy, AdamW.

Zeros stand a pixel further to the left and above than in this project, where strides leave a
choice; shapes and operations are the same.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.peers import classic
from experiments.peers.classic import CLASSES, Data, Training

LEARNING_RATE = 0.003


def make_training(data: Data, batch_size: int, form: str = "contiguous") -> Training:
    """Gradients by torch.autograd of images that are gathered as float32.

    Args:
        data: what to train on and to score.
        batch_size: images a step.
        form: `contiguous` or `channels_last`, or `compiled`: all but the update by torch.compile.
    """
    images, test_images = (
        torch.from_numpy(array.astype(np.float32) / 255).reshape(-1, 1, 28, 28)
        for array in (data.images, data.test_images)
    )
    labels, test_labels = (
        torch.from_numpy(array.astype(np.int64)) for array in (data.labels, data.test_labels)
    )
    last = form == "channels_last"
    memory: Any = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    model: Any = nn.Sequential(
        *(nn.Conv2d(1, 24, 5, 2, 2), nn.ReLU()),
        *(nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(48, 96, 3, 1, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(96 * 7 * 7, CLASSES)),
    ).to(**memory)

    def loss(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    value = torch.compile(loss, dynamic=False) if form == "compiled" else loss
    optimizer: Any = None

    def start(seed: int) -> None:
        nonlocal optimizer
        torch.manual_seed(seed)
        for layer in model:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        optimizer = torch.optim.AdamW(
            model.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True
        )

    def train(steps: int) -> None:
        order = torch.randperm(len(labels))
        for chosen in order[: steps * batch_size].split(batch_size):
            optimizer.zero_grad()
            value(images[chosen].contiguous(**memory), labels[chosen]).backward()
            optimizer.step()

    def accuracy() -> float:
        with torch.no_grad():
            predictions = [model(x.contiguous(**memory)).argmax(1) for x in test_images.split(1000)]
        return float((torch.cat(predictions) == test_labels).float().mean())

    def parameters() -> list[tuple[Any, Any]]:
        arrays = [parameter.detach().numpy().copy() for parameter in model.parameters()]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    return Training(start, train, accuracy, parameters)


if __name__ == "__main__":
    classic.main(make_training, None)
