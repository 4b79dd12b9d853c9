"""Class folders: one for each class, of its name, with its pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digits_jax.data import by_content
from digits_jax.data.dataset import Dataset, Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


def read_folder(folder: Path) -> Source:
    """Reads pictures from class folders in `train` and `test`, or from those of `folder` itself.

    Classes are in the order of their names, of their numbers where all are numbers; colours become
    grey. Pictures are in the order of the SHA-256 of their pixels; without `train` and `test`, a
    sixth of them, by the same number, are the test images.

    Raises:
        ValueError: in one line, where a folder holds no classes or what is no picture, a picture
            cannot be read, or two differ in size.
    """
    inside = [path.name for path in _inside(folder)]
    if not {"train", "test"} & set(inside):
        dataset, names = _read(folder, _classes(folder))
        try:
            train, test = by_content.cut(by_content.ordered(dataset))
        except ValueError as error:
            raise ValueError(f"{folder}: {error}: expected folders train and test in it") from None
        return Source(train, test, len(names), names)
    if set(inside) != {"train", "test"}:
        raise ValueError(f"{folder}: expected folders train and test alone, found {_told(inside)}")
    classes = _classes(folder / "train")
    unknown = set(_classes(folder / "test")) - set(classes)
    if unknown:
        raise ValueError(f"{folder}: {_told(unknown)} in test and not among the classes of train")
    train, test = (_read(folder / side, classes)[0] for side in ("train", "test"))
    return Source(by_content.ordered(train), by_content.ordered(test), len(classes), tuple(classes))


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, but for files that systems put there unseen."""
    return sorted(
        path for path in folder.iterdir() if path.name[0] != "." and path.name != "Thumbs.db"
    )


def _classes(folder: Path) -> list[str]:
    names = [path.name for path in _inside(folder) if path.is_dir()]
    if not names:
        raise ValueError(f"{folder}: no class folders with pictures are there")
    return sorted(names, key=int) if all(map(str.isdecimal, names)) else names


def _told(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)[:5])


def _read(folder: Path, names: list[str]) -> tuple[Dataset, tuple[str, ...]]:
    from digits_jax.recognition import pictures  # heavy: only where it is asked for

    images: list[np.ndarray] = []
    labels: list[int] = []
    first = Path()
    for label, name in enumerate(names):
        for path in _inside(folder / name) if (folder / name).exists() else ():
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                raise ValueError(f"{path}: expected pictures alone in a class folder")
            image = np.rint(255 * pictures.read(path)).astype(np.uint8)
            if images and image.shape != images[0].shape:
                sizes = ["{1} x {0}".format(*shape) for shape in (image.shape, images[0].shape)]
                raise ValueError(
                    f"{path}: {sizes[0]} pixels, and {first} {sizes[1]}: make all of one size"
                )
            first = first if images else path
            images.append(image)
            labels.append(label)
    if not images:
        raise ValueError(f"{folder}: no pictures are there")
    return Dataset(np.stack(images), np.array(labels, np.int32)), tuple(names)
