"""From a path to images and labels by split: which files are there, and what each array is."""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits_jax.data import class_folders
from digits_jax.data.formats import format_of, read_file
from digits_jax.data.stored import (
    CLASS_NAMES,
    Arrays,
    ImagesNeeded,
    StoredArray,
    in_memory,
    reading,
)

# How the names of files, folders and arrays tell a split, in lower case.
SPLIT_WORDS = {
    "train": r"train|(?<![a-z])tr(?![a-z])",
    "validation": r"(?<![a-z])(val|valid|validation|dev)(?![a-z])",
    "test": r"(?<![a-z])[xy]?test|t10k|(?<![a-z])te(?![a-z])",
}
LABEL_WORDS = r"(?<![a-z])(labels?|targets?|gnd|class(es)?|y)(?![a-z])|(?<![a-z])y(train|test|val)"
IMAGE_WORDS = r"(?<![a-z])(images?|pixels|fea|patterns|x)(?![a-z])|(?<![a-z])x(train|test|val)"
DEEPEST = 2  # folders below the one that was given
MOST_FILES = 1000
MOST_LABEL_BYTES = 1 << 30


class StoredSplit(NamedTuple):
    """Images as [n, height, width] or with a last axis of colours, unread; labels as they are."""

    images: StoredArray
    labels: np.ndarray


class PathContent(NamedTuple):
    """What a path holds, by split; `class_names` is empty where the files name no classes."""

    splits: dict[str, StoredSplit]
    unlabelled: dict[str, StoredArray]
    class_names: tuple[str, ...]


def find(path: Path, read_images: bool = True) -> PathContent:
    """The images and labels at a path: a data file, a folder, or how names in a folder begin.

    Raises:
        ImagesNeeded: where the number of images is unknown and `read_images` is false.
        ValueError: in one line, where nothing is there that can be read, or more than one data set.
        OSError: where a file cannot be read.
    """
    arrays = _arrays(path, read_images)
    names = next((array for name, array in arrays.items() if name.endswith(CLASS_NAMES)), None)
    splits: dict[str, StoredSplit] = {}
    unlabelled: dict[str, StoredArray] = {}
    others = {n: a for n, a in arrays.items() if not n.endswith(CLASS_NAMES)}
    with reading(path):
        for split, group in _by_split(others).items():
            images, labels = _paired(group, path, split)
            if labels is None:
                unlabelled[split] = images
            else:
                splits[split] = StoredSplit(images, labels)
        sizes = {split: "{} x {}".format(*s.images.shape[1:3]) for split, s in splits.items()}
        if len(set(sizes.values())) > 1:
            called = {"training": sizes["train"], **sizes}
            told = ", ".join(f"{s} images {called[s]}" for s in called if s != "train")
            raise ValueError(f"images differ in size: {told} pixels")
    return PathContent(splits, unlabelled, tuple(map(str, names.whole())) if names else ())


def split_of(name: str) -> str:
    """The split that a path of names tells, the last name first; empty where none does."""
    for part in reversed(name.lower().split("/")):
        for split, words in SPLIT_WORDS.items():
            if re.search(words, part):
                return split
    return ""


def _arrays(path: Path, read_images: bool) -> Arrays:
    if path.is_file():
        return _of_files([path], path.parent)
    if path.is_dir():
        return _of_folder(path, read_images)
    beginning = [
        p for p in _files(path.parent, "") if re.match(re.escape(path.name) + "[-_.]", p.name)
    ]
    if not beginning:
        raise ValueError(_missing(path))
    return _of_files(beginning, path.parent)


def _of_folder(folder: Path, read_images: bool) -> Arrays:
    for depth in range(DEEPEST + 1):
        files = _files(folder, "*/" * depth)
        if files and depth == 0:
            return _of_files(files, folder)
        if depth == 0 and (classes := class_folders.find(folder, split_of)):
            if not read_images:
                raise ImagesNeeded
            return class_folders.read(classes)
        places = {split_free(file.parent, folder) for file in files}
        if len(places) > 1:
            choices = " or ".join(f"--data={place}" for place in sorted(places)[:4])
            raise ValueError(f"{folder}: several data sets are there: choose one, {choices}")
        if files:
            return _of_files(files, folder)
    there = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    raise ValueError(
        f"{folder}: neither data files nor class folders of pictures are there; found {there}"
    )


def split_free(folder: Path, top: Path) -> Path:
    """The last folder on the way that is not one of a split: `mnist` for `mnist/train`."""
    while folder != top and split_of(folder.name):
        folder = folder.parent
    return folder


def _files(folder: Path, pattern: str) -> list[Path]:
    """The data files in a folder, told by their content; of a file and its .gz, the file."""
    if not folder.is_dir():
        return []
    inside = (p for p in folder.glob(f"{pattern}*") if p.name[0] != "." and p.is_file())
    files = [p for p in itertools.islice(inside, MOST_FILES) if not class_folders.is_picture(p)]
    known = {p for p in files if format_of(p)}
    return sorted(p for p in known if p.suffix != ".gz" or p.with_suffix("") not in known)


def _of_files(files: Iterable[Path], top: Path) -> Arrays:
    arrays: Arrays = {}
    for file in files:
        name = str(file.relative_to(top))
        arrays |= {f"{name}/{n}" if n else name: a for n, a in read_file(file).items()}
    return arrays


def _missing(path: Path) -> str:
    there = next(parent for parent in path.parents if parent.is_dir())
    wanted = path.parts[len(there.parts)]
    inside = sorted(p.name for p in itertools.islice(there.iterdir(), MOST_FILES))
    close = difflib.get_close_matches(wanted, inside, n=3)
    advice = " or ".join(f"--data={there / name}" for name in close)
    return f"{path}: no such folder or file" + (f"; did you mean {advice}?" if advice else "")


def _by_split(arrays: Arrays) -> dict[str, Arrays]:
    groups: dict[str, Arrays] = {}
    for name, array in _joined(arrays).items():
        groups.setdefault(split_of(name), {})[name] = array
    if set(groups) == {""} and len(arrays) == 4:
        groups = _by_size(groups[""])
    if "train" not in groups:  # all in one, or a file that was asked for by its name
        groups["train"] = groups.pop("" if "" in groups else next(iter(groups), ""), {})
    groups.pop("", None)
    return groups


def _joined(arrays: Arrays) -> Arrays:
    """Puts the shards of a data set together: arrays whose names differ in long numbers alone."""
    shards: dict[tuple[str, tuple[int, ...]], Arrays] = {}
    for name in sorted(arrays):
        key = (re.sub(r"\d{3,}", "#", name), arrays[name].shape[1:])
        shards.setdefault(key, {})[name] = arrays[name]
    return {next(iter(parts)): _concatenated(list(parts.values())) for parts in shards.values()}


def _concatenated(parts: list[StoredArray]) -> StoredArray:
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([part.shape[0] for part in parts])

    def read(rows: np.ndarray) -> np.ndarray:
        starts = ends - [part.shape[0] for part in parts]
        pieces = [
            part.read(rows[(rows >= start) & (rows < end)] - start)
            for part, start, end in zip(parts, starts, ends, strict=True)
        ]
        return np.concatenate(pieces)

    dtype = np.result_type(*(part.dtype for part in parts))
    return StoredArray((int(ends[-1]), *parts[0].shape[1:]), dtype, read)


def _by_size(arrays: Arrays) -> dict[str, Arrays]:
    """Two pairs whose names tell no split: the longer one is for training."""
    by_length: dict[int, Arrays] = {}
    for name, array in arrays.items():
        by_length.setdefault(array.shape[0], {})[name] = array
    if sorted(map(len, by_length.values())) != [2, 2]:
        return {"": arrays}
    longer, shorter = sorted(by_length, reverse=True)
    return {"train": by_length[longer], "test": by_length[shorter]}


def _paired(group: Arrays, path: Path, split: str) -> tuple[StoredArray, np.ndarray | None]:
    """Which array of a split holds the images and which the labels: by names, else by shapes."""
    labels = [n for n in group if re.search(LABEL_WORDS, n.rsplit("/")[-1].lower())]
    images = [n for n in group if n not in labels and group[n].dtype.kind != "U"]
    named = [n for n in images if re.search(IMAGE_WORDS, n.rsplit("/")[-1].lower())]
    images = named or sorted(images, key=lambda n: -math.prod(group[n].shape[1:]))[:1]
    images = [n for n in images if len(group[n].shape) > 2] or images
    if not images or len(images) > 1 or len(labels) > 1:
        raise ValueError(_ambiguous(path, images, labels, list(group)))
    array = group[images[0]]
    if not labels:
        rest = [n for n in group if n != images[0] and array.shape[0] in group[n].shape]
        labels = rest if len(rest) == 1 else []
    if not labels:
        if split == "train" or "/" not in images[0]:  # a table may be there to be predicted
            raise ValueError(
                f"no labels for {images[0]} are there; found {', '.join(group)}"
                + ("; give the folder that holds both" if path.is_file() else "")
            )
        return _images(array, images[0]), None
    stored = group[labels[0]]
    count = max(stored.shape)
    if array.shape[-1] == count != array.shape[0]:  # MATLAB's way
        array = in_memory(np.moveaxis(array.whole(), -1, 0))
    if array.shape[0] != count:
        raise ValueError(f"{images[0]} holds {array.shape[0]} images, {labels[0]} {count} labels")
    if math.prod(stored.shape) * stored.dtype.itemsize > MOST_LABEL_BYTES:
        raise ValueError(f"{labels[0]} holds {count:,} labels: more than are read")
    return _images(array, images[0]), stored.whole()


def _ambiguous(path: Path, images: list[str], labels: list[str], group: list[str]) -> str:
    if not images:
        return f"no array of images is there; found {', '.join(group)}"
    beginnings = {re.split("|".join(SPLIT_WORDS.values()), n.lower())[0] for n in images}
    if len(beginnings) > 1 and "" not in beginnings:
        given = " or ".join(f"--data={path / b.rstrip('-_.')}" for b in sorted(beginnings)[:4])
        return f"several data sets are there: choose one, {given}"
    return f"which arrays hold images and labels? found {', '.join([*images, *labels][:8])}"


def _images(array: StoredArray, name: str) -> StoredArray:
    """As [n, height, width] or [n, height, width, colours]."""
    shape = array.shape
    if 0 in shape:
        raise ValueError(f"{name} holds no pixels: its shape is {shape}")
    if len(shape) == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        side = math.isqrt(shape[1])
        return _changed(array, (side, side), lambda rows: rows.reshape(-1, side, side))
    if len(shape) == 4 and shape[3] == 1:
        return _changed(array, shape[1:3], lambda rows: rows[..., 0])
    if len(shape) == 4 and shape[1] == 1:
        return _changed(array, shape[2:], lambda rows: rows[:, 0])
    if len(shape) == 4 and shape[1] in (3, 4) and shape[3] not in (3, 4):
        return _changed(array, (*shape[2:], shape[1]), lambda rows: np.moveaxis(rows, 1, -1))
    if len(shape) != 3 and not (len(shape) == 4 and shape[3] in (3, 4)):
        raise ValueError(
            f"{name} is {list(shape)}: expected images as [n, height, width], with colours "
            "as a last axis of 3, or as [n, pixels] with a square number of pixels"
        )
    return array


def _changed(
    array: StoredArray, shape: tuple[int, ...], change: Callable[[np.ndarray], np.ndarray]
) -> StoredArray:
    return StoredArray((array.shape[0], *shape), array.dtype, lambda rows: change(array.read(rows)))
