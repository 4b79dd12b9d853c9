"""Class folders: a folder of pictures for each class, named after it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits_jax.data import by_content
from digits_jax.data.dataset import Dataset
from digits_jax.data.stored import CLASS_NAMES, Arrays, in_memory

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


class ClassFolders(NamedTuple):
    """The folder that holds the class folders of each split; "" is the split where all are one."""

    top: Path
    of_split: dict[str, Path]


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def find(folder: Path, split_of: Callable[[str], str], depth: int = 1) -> ClassFolders | None:
    """Looks for class folders, for folders of splits that hold them, and `depth` levels deeper.

    Raises:
        ValueError: in one line, where a folder is beside those of splits, or two are of one split.
    """
    inside = [path for path in _inside(folder) if path.is_dir()]
    splits = [split_of(path.name) for path in inside]
    pictures = (file for sub in inside for c in _inside(sub) if c.is_dir() for file in _inside(c))
    if "train" in splits and any(map(is_picture, pictures)):
        if "" in splits or len(set(splits)) < len(splits):
            there = ", ".join(path.name for path in inside[:5])
            raise ValueError(
                f"{folder}: expected one folder each for train, validation and test, found {there}"
            )
        return ClassFolders(folder, dict(zip(splits, inside, strict=True)))
    if any(is_picture(path) for sub in inside for path in _inside(sub)):
        return ClassFolders(folder, {"": folder})
    deeper = [found for sub in inside if depth and (found := find(sub, split_of, depth - 1))]
    if len(deeper) > 1:
        choices = " or ".join(f"--data={found.top}" for found in deeper[:4])
        raise ValueError(f"{folder}: several data sets are there: choose one, {choices}")
    return deeper[0] if deeper else None


def read(folders: ClassFolders) -> Arrays:
    """Reads the pictures, in the order of the SHA-256 of their pixels; colours become grey.

    Classes are in the order of their names, of their numbers where all are numbers.

    Raises:
        ValueError: in one line, where a folder holds no classes or what is no picture, a picture
            cannot be read, or two differ in size.
    """
    first = folders.of_split.get("train", folders.top)
    classes = _classes(first)
    arrays: Arrays = {CLASS_NAMES: in_memory(np.array([_printable(name) for name in classes]))}
    for split, folder in folders.of_split.items():
        if unknown := set(_classes(folder)) - set(classes):
            there = ", ".join(sorted(unknown)[:5])
            raise ValueError(f"{folders.top}: {there} in {folder.name} and not in {first.name}")
        images, labels = by_content.ordered(_read(folder, classes))
        arrays[f"{split}/images"], arrays[f"{split}/labels"] = in_memory(images), in_memory(labels)
    return arrays


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


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _read(folder: Path, names: list[str]) -> Dataset:
    from digits_jax.recognition import pictures  # heavy: only where it is asked for

    images: list[np.ndarray] = []
    labels: list[int] = []
    first = Path()
    for label, name in enumerate(names):
        for path in _inside(folder / name) if (folder / name).exists() else ():
            if not is_picture(path) or not path.is_file():
                raise ValueError(f"{path}: expected only pictures in a class folder")
            image = np.rint(255 * pictures.read(path)).astype(np.uint8)
            if images and image.shape != images[0].shape:
                sizes = ["{1} x {0}".format(*shape) for shape in (image.shape, images[0].shape)]
                raise ValueError(
                    f"{path} has {sizes[0]} pixels, {first} {sizes[1]}: all must have one size"
                )
            first = first if images else path
            images.append(image)
            labels.append(label)
    if not images:
        raise ValueError(f"{folder}: no pictures are there")
    return Dataset(np.stack(images), np.array(labels, np.int32))
