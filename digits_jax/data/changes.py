"""What users ask to be changed in their data: noise in labels; images turned or resized."""

import numpy as np


def noisy(labels: np.ndarray, num_classes: int, share: float, seed: int) -> np.ndarray:
    """Labels of which each becomes another class with probability `share`, all equally likely.

    Symmetric label noise (Patrini et al., Making deep neural networks robust to label noise, 2017,
    section 5). It depends on the seed and the place of a label alone: further labels leave it as it
    is, and where `noisy(...) != labels` lists what was changed.
    """
    draws = np.random.default_rng(seed).random((len(labels), 2))
    other = 1 + (draws[:, 1] * (num_classes - 1)).astype(np.int32)
    changed = np.where(draws[:, 0] < share, (labels + other) % num_classes, labels)
    return changed.astype(np.int32)


def changed(images: np.ndarray, invert: bool, transpose: bool, image_size: int) -> np.ndarray:
    """Images with rows and columns exchanged, levels inverted, resized to a square by area."""
    images = images.transpose(0, 2, 1) if transpose else images
    size = (image_size, image_size) if image_size else images.shape[1:]
    if not any(images.strides):  # images that are not read, and take no memory
        return np.broadcast_to(images[:1, :1, :1], (len(images), *size))
    images = 255 - images if invert else images
    if images.shape[1:] == size:
        return np.ascontiguousarray(images)
    down, across = (_area_means(old, image_size) for old in images.shape[1:])
    resized = np.empty((len(images), *size), np.uint8)
    for i in range(0, len(images), 1000):  # a few at a time are float
        resized[i : i + 1000] = np.rint(down @ images[i : i + 1000].astype(np.float32) @ across.T)
    return resized


def _area_means(old: int, new: int) -> np.ndarray:
    """The matrix [new, old] of means over areas: the share of each old pixel in each new one."""
    edges, pixels = np.arange(new + 1) * old / new, np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(overlap, 0, None) * new / old, np.float32)
