"""Images and labels: find the files, read them, check them, and cut them into `Splits`."""

import logging
import math
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from digits_jax.data import by_content, checks, finding
from digits_jax.data.changes import changed, noisy
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.data.finding import StoredSplit
from digits_jax.data.stored import ImagesNeeded, in_memory, reading

EMBEDDED_MNIST = Path(__file__).parent / "mnist"
TFDS_PREFIX = "tfds:"
CLASS_NAMES_FILE = "labels.txt"
MOST_SIDE = 4096  # of a resized image, in pixels
ORDER_SEED = 0  # of the order in which images are taken whose labels are in order in the file

log = logging.getLogger("digits_jax.data")


class StoredData(NamedTuple):
    """A data set with its labels checked and its images unread; `notes` are to be told."""

    name: str
    splits: dict[str, StoredSplit]
    num_classes: int
    class_names: tuple[str, ...]
    notes: list[str]


def load(
    dataset: str = "mnist",
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int = 10_000,
    validation_size: int = 10_000,
    invert: bool = False,
    transpose: bool = False,
    image_size: int = 0,
    label_noise: float = 0.0,
    label_noise_seed: int = 0,
    read_images: bool = True,
) -> Splits:
    """Loads a data set and cuts its training images into a training and a validation split.

    The logger `digits_jax.data` receives a line that says what was read, and a warning for each
    thing that looks wrong with it.

    Args:
        dataset: `mnist`, the embedded files, or `tfds:NAME`, a data set of TensorFlow Datasets.
        data_dir: for `mnist`, the file or folder to read instead of the embedded files, of any
            format in `formats.FORMATS`, or class folders of pictures; for `tfds:NAME`, the folder
            of prepared data sets (`None`: TFDS's own).
        train_size: number of training images, taken from the front of the training file.
        validation_size: number of validation images, taken from its end, or from the front of a
            validation file where there is one; 0 for none.
        invert: whether 255 - level takes the place of each grey level, for a white background.
        transpose: whether rows and columns of each image are exchanged.
        image_size: height and width to resize images to, by area; 0 keeps their size.
        label_noise: the share of training labels that become another class, see `changes.noisy`.
        label_noise_seed: its random seed.
        read_images: internal to `outline`.

    Returns:
        The splits, as NumPy arrays: images uint8 [n, height, width], labels int32 [n]; classes are
        named 0, 1, 2 and so on where the data set does not name them. Without a test set, a sixth
        of the images are it, see `by_content.is_test`.

    Raises:
        ValueError: in one line, where the data set is unknown, its files are broken, a label is not
            below the class count, or training and validation images would overlap.
        OSError: where a file cannot be read.
    """
    _check("train_size", train_size, 1, math.inf, Integral)
    _check("validation_size", validation_size, 0, math.inf, Integral)
    _check("image_size", image_size, 0, MOST_SIDE, Integral)
    _check("label_noise", label_noise, 0, 1, Real)
    stored = _with_test(_find(dataset, data_dir, read_images), read_images)
    taken = _take(stored, train_size, validation_size)
    with reading(Path(stored.name)):
        images, notes = _read(taken) if read_images else (_unread(taken), [])
        parts = {
            split: Dataset(changed(images[split], invert, transpose, image_size), part.labels[rows])
            for split, (part, rows) in taken.items()
        }
    if label_noise:
        labels = noisy(parts["train"].labels, stored.num_classes, label_noise, label_noise_seed)
        parts["train"] = parts["train"]._replace(labels=labels)
    names = stored.class_names or tuple(map(str, range(stored.num_classes)))
    try:
        splits = Splits(**parts, num_classes=stored.num_classes, class_names=names)
    except ValueError as error:
        raise ValueError(f"{stored.name}: {error}") from None
    if read_images and (data_dir is not None or dataset != "mnist"):
        _tell(stored, splits, notes)
    return splits


def _check(name: str, value: Any, least: int, most: Any, kind: Any) -> None:
    if type(value) is bool or not isinstance(value, kind) or not least <= value <= most:
        what = "a whole number" if kind is Integral else "a number"
        upper = "" if most == math.inf else f", at most {most}"
        raise ValueError(f"{name}={value!r}: expected {what} of at least {least}{upper}")


def outline(*arguments: Any, **settings: Any) -> Splits | None:
    """As `load`, with images that are all zeros and take no memory: enough to compile programs for.

    It finds only the mistakes that show without reading the images, and is `None` where they have
    to be read to know how many there are, as in a data set without a test set.
    """
    try:
        return load(*arguments, **settings | {"read_images": False})
    except ImagesNeeded:
        return None


def count(dataset: str = "mnist", data_dir: str | os.PathLike[str] | None = None) -> int:
    """The number of images that `load` can share out between training and validation.

    Raises:
        ValueError, OSError: as `load`.
    """
    return len(_with_test(_find(dataset, data_dir)).splits["train"].labels)


def _find(
    dataset: str, data_dir: str | os.PathLike[str] | None, read_images: bool = True
) -> StoredData:
    """Finds a data set, and reads and checks its labels."""
    if data_dir is not None and not os.fspath(data_dir):
        raise ValueError("data_dir is empty: expected a file or folder, as in --data=train.csv")
    # A shell leaves the ~ of --data=~/x alone.
    path = EMBEDDED_MNIST if data_dir is None else Path(data_dir).expanduser()
    if str(dataset).startswith(TFDS_PREFIX):
        if not read_images:
            raise ImagesNeeded
        import digits_jax.data.tfds  # heavy: only where it is asked for

        name = dataset.removeprefix(TFDS_PREFIX)
        train, test, num_classes, names = digits_jax.data.tfds.read(name, data_dir and path)
        parts = {"train": train, "test": test}
        splits = {s: StoredSplit(in_memory(d.images), d.labels) for s, d in parts.items()}
        return StoredData(str(data_dir or dataset), splits, num_classes, names, [])
    if dataset != "mnist":
        raise ValueError(
            f"unknown dataset {dataset!r}: known are 'mnist' and 'tfds:NAME', as in "
            "'tfds:fashion_mnist'; --data=PATH reads files of your own"
        )
    found = finding.find(path, read_images)
    with reading(path):
        given = {split: part.labels for split, part in found.splits.items()}
        labels, num_classes, names, notes = checks.classes(given, found.class_names)
        if path.is_dir():
            names = _names_from_file(path, num_classes) or names
        if len(names) not in (0, num_classes):
            raise ValueError(f"{len(names)} class names for {num_classes} classes")
    notes += [f"{split} images have no labels: left out" for split in found.unlabelled]
    splits = {s: StoredSplit(part.images, labels[s]) for s, part in found.splits.items()}
    return StoredData(str(data_dir or dataset), splits, num_classes, names, notes)


def _names_from_file(folder: Path, num_classes: int) -> tuple[str, ...]:
    path = folder / CLASS_NAMES_FILE
    if not path.exists():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    if len(names) != num_classes or not all(names):
        raise ValueError(
            f"{path}: expected {num_classes} lines with a class name each, as many as classes; "
            f"found {len(names)} lines, {names.count('')} of them empty"
        )
    return names


def _with_test(stored: StoredData, read_images: bool = True) -> StoredData:
    """The data set with a test set: where it has none, a sixth of its images, which are read."""
    if "test" in stored.splits:
        return stored
    if not read_images:
        raise ImagesNeeded
    with reading(Path(stored.name)):
        images, labels = stored.splits["train"]
        made, notes = checks.grey_levels({"train": images.whole()})
        is_test = by_content.is_test(made["train"])
    cut = {
        split: StoredSplit(in_memory(made["train"][side]), labels[side])
        for split, side in {"train": ~is_test, "test": is_test}.items()
    }
    note = f"no test set: {is_test.sum():,} of {len(is_test):,} images, chosen by content, are it"
    return stored._replace(splits=stored.splits | cut, notes=[*stored.notes, *notes, note])


Taken = dict[str, tuple[StoredSplit, np.ndarray]]  # a stored split, and which rows are taken


def _take(stored: StoredData, train_size: int, validation_size: int) -> Taken:
    """Which rows of the files are the images of each split, in ascending order."""
    train, test = stored.splits["train"], stored.splits["test"]
    own, available = stored.splits.get("validation"), len(train.labels)
    if own and validation_size > len(own.labels):
        raise ValueError(
            f"{stored.name}: validation_size={validation_size}: there are {len(own.labels)} "
            f"validation images; --validation_size={len(own.labels)} takes all"
        )
    if train_size + (0 if own else validation_size) > available:
        most = min(train_size, available)
        raise ValueError(
            f"train_size={train_size} and validation_size={validation_size} overlap: "
            f"there are {available} training images in all, as for train_size={most} and "
            f"validation_size={available - most}"
        )
    order = np.arange(available)
    if checks.is_in_order(train.labels):
        stored.notes.append(f"labels are in order in the file: mixed by seed {ORDER_SEED}")
        order = np.random.default_rng(ORDER_SEED).permutation(available)
    end = order[available - validation_size :]
    return {
        "train": (train, np.sort(order[:train_size])),
        "validation": (own, np.arange(validation_size)) if own else (train, np.sort(end)),
        "test": (test, np.arange(len(test.labels))),
    }


def _read(taken: Taken) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads the images of all splits, each file once, as grey levels."""
    (train, rows), (held_out, other_rows) = taken["train"], taken["validation"]
    read = {"test": taken["test"][0].images.whole()}
    if held_out is train:
        both = np.union1d(rows, other_rows)
        images = train.images.read(both)
        read["train"] = images[np.searchsorted(both, rows)]
        read["validation"] = images[np.searchsorted(both, other_rows)]
    else:
        read["train"] = train.images.read(rows)
        read["validation"] = held_out.images.read(other_rows)
    return checks.grey_levels(read)


def _unread(taken: Taken) -> dict[str, np.ndarray]:
    return {
        split: np.broadcast_to(np.uint8(0), (len(rows), *part.images.shape[1:3]))
        for split, (part, rows) in taken.items()
    }


def _tell(stored: StoredData, splits: Splits, notes: list[str]) -> None:
    train, height, width = splits.train.images.shape
    said = "; ".join([f"{splits.num_classes} classes", *dict.fromkeys(stored.notes + notes)])
    log.info(
        f"data: {train:,} training, {len(splits.validation.labels):,} validation and "
        f"{len(splits.test.labels):,} test images {height} x {width} of {stored.name}, {said}"
    )
    for line in checks.doubts(splits.train, splits.test, splits.num_classes):
        log.warning(f"warning: {stored.name}: {line}")
