"""Images and labels: from files to `Splits`."""

import os
from pathlib import Path

from digits_jax.data import class_folders, idx, npy
from digits_jax.data.dataset import Dataset, Source, Splits

EMBEDDED_MNIST = Path(__file__).parent / "mnist"
TFDS_PREFIX = "tfds:"


def load(
    dataset: str = "mnist",
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int = 10_000,
    validation_size: int = 10_000,
) -> Splits:
    """Loads a data set and cuts its training images into a training and a validation split.

    Args:
        dataset: `mnist`, the embedded files, or `tfds:NAME`, a data set of TensorFlow Datasets.
        data_dir: for `mnist`, a folder to read instead of the embedded files: of IDX files with the
            MNIST names, of arrays as `npy.read_folder` takes them, or of class folders as
            `class_folders.read_folder` does; for `tfds:NAME`, the folder of prepared data sets
            (`None`: TFDS's own).
        train_size: number of training images, taken from the front of the training file.
        validation_size: number of validation images, taken from its end; 0 for none.

    Returns:
        The splits, as NumPy arrays: images uint8 [n, height, width], labels int32 [n]; classes are
        named 0, 1, 2 and so on where the data set does not name them.

    Raises:
        ValueError: in one line, where the data set is unknown, its files are broken, a label is not
            below the class count, or training and validation images would overlap.
    """
    source = _read(dataset, data_dir)
    return _split(source, str(data_dir or dataset), train_size, validation_size)


def count(dataset: str = "mnist", data_dir: str | os.PathLike[str] | None = None) -> int:
    """The number of images that `load` can share out between training and validation.

    Raises:
        ValueError: as `load`.
    """
    return len(_read(dataset, data_dir, idx.read_shape).train.labels)


def _read(
    dataset: str, data_dir: str | os.PathLike[str] | None, read_images: idx.ReadArray = idx.read
) -> Source:
    folder = _folder(data_dir)
    if dataset.startswith(TFDS_PREFIX):
        import digits_jax.data.tfds  # heavy: only where it is asked for

        directory = None if data_dir is None else folder
        return digits_jax.data.tfds.read(dataset.removeprefix(TFDS_PREFIX), directory)
    if dataset != "mnist":
        raise ValueError(
            f"unknown dataset {dataset!r}: known are 'mnist' and 'tfds:NAME', "
            f"as in 'tfds:fashion_mnist'"
        )
    if idx.is_one(folder) or not folder.is_dir():
        return idx.read_folder(folder, read_images)
    if npy.is_one(folder):
        return npy.read_folder(folder)
    if any(path.is_dir() for path in folder.iterdir()):
        return class_folders.read_folder(folder)
    raise ValueError(
        f"{folder}: holds neither IDX files with the names of MNIST's, nor images.npy and "
        "labels.npy, nor class folders of pictures"
    )


def outline(
    dataset: str = "mnist",
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int = 10_000,
    validation_size: int = 10_000,
) -> Splits | None:
    """As `load`, with images that are all zeros and take no memory: enough to compile programs for.

    It takes some milliseconds, and finds only the mistakes that show without reading the images.
    `None` where there is no such short way to the shapes.
    """
    if dataset != "mnist" or not idx.is_one(_folder(data_dir)):
        return None
    source = idx.read_folder(_folder(data_dir), idx.read_shape)
    return _split(source, str(data_dir or dataset), train_size, validation_size)


def _folder(data_dir: str | os.PathLike[str] | None) -> Path:
    # A shell leaves the ~ of --data_dir=~/x alone.
    return EMBEDDED_MNIST if data_dir is None else Path(data_dir).expanduser()


def _split(source: Source, name: str, train_size: int, validation_size: int) -> Splits:
    available = len(source.train.labels)
    if train_size < 1 or validation_size < 0:
        raise ValueError(
            f"train_size={train_size} must be at least 1, "
            f"validation_size={validation_size} at least 0"
        )
    sizes = ["{} x {}".format(*split.images.shape[1:]) for split in (source.train, source.test)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{name}: training images are {sizes[0]} pixels, test images {sizes[1]}")
    most = min(train_size, available)
    if train_size + validation_size > available:
        raise ValueError(
            f"train_size={train_size} and validation_size={validation_size} overlap: "
            f"there are {available} training images in all, as for train_size={most} and "
            f"validation_size={available - most}"
        )
    images, labels = source.train
    validation_start = available - validation_size
    try:
        return Splits(
            train=Dataset(images[:train_size], labels[:train_size]),
            validation=Dataset(images[validation_start:], labels[validation_start:]),
            test=source.test,
            num_classes=source.num_classes,
            class_names=source.class_names or tuple(map(str, range(source.num_classes))),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
