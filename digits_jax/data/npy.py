"""Arrays of NumPy: images and labels, a file each."""

from pathlib import Path

import numpy as np

from digits_jax.data import by_content
from digits_jax.data.dataset import Dataset, Source
from digits_jax.data.idx import read_class_names

IMAGES, LABELS = "images.npy", "labels.npy"
SPLITS = ("train_", "test_")
MOST_CLASSES = 10_000


def is_one(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return any((folder / f"{split}{IMAGES}").exists() for split in ("", *SPLITS))


def read_folder(folder: Path) -> Source:
    """Reads `train_images.npy` and `train_labels.npy`, and `test_` alike; or both without a prefix.

    Of `images.npy` and `labels.npy`, a sixth by `by_content.cut` are the test images; all stay in
    the order of the file. `labels.txt` may name the classes, as beside IDX files.

    Raises:
        ValueError: in one line, where a file is missing or no such array.
        OSError: where a file cannot be read.
    """
    if (folder / IMAGES).exists():
        dataset = _read(folder, "")
        try:
            train, test = by_content.cut(dataset)
        except ValueError as error:
            raise ValueError(
                f"{folder / IMAGES}: {error}: give train_{IMAGES} and test_{IMAGES}"
            ) from None
    else:
        train, test = (_read(folder, split) for split in SPLITS)
    num_classes = int(train.labels.max()) + 1
    return Source(train, test, num_classes, read_class_names(folder, num_classes))


def _read(folder: Path, split: str) -> Dataset:
    paths = [folder / f"{split}{name}" for name in (IMAGES, LABELS)]
    images, labels = map(_array, paths)
    path = f"{paths[0]} and {paths[1].name}"
    try:
        if labels.size and labels.dtype.kind in "iu" and not 0 <= labels.max() < MOST_CLASSES:
            raise ValueError(f"label {labels.max()}: expected at most {MOST_CLASSES} classes")
        dataset = Dataset(images, labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if images.ndim != 3 or not images.size:
        raise ValueError(f"{path}: images are {images.shape}: expected [n, height, width]")
    return dataset._replace(labels=labels.astype(np.int32))


def _array(path: Path) -> np.ndarray:
    try:
        # Mapped, it may not promise more than the file holds.
        array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise ValueError(f"{path.parent}: no {path.name} is there") from None
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path}: not an array of NumPy, or damaged: {error}") from None
    return array
