"""Images and labels: from files to `Splits`."""

import os
from pathlib import Path

from digits_jax.data import idx
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
        data_dir: for `mnist`, a folder of IDX files with the MNIST names to read instead of the
            embedded ones; for `tfds:NAME`, the folder of prepared data sets (`None`: TFDS's own).
        train_size: number of training images, taken from the front of the training file.
        validation_size: number of validation images, taken from its end; 0 for none.

    Returns:
        The splits, as NumPy arrays: images uint8 [n, height, width], labels int32 [n]; classes are
        named 0, 1, 2 and so on where the data set does not name them.

    Raises:
        ValueError: in one line, where the data set is unknown, its files are broken, a label is not
            below the class count, or training and validation images would overlap.
    """
    if dataset == "mnist":
        source = idx.read_folder(_folder(data_dir))
    elif dataset.startswith(TFDS_PREFIX):
        import digits_jax.data.tfds  # heavy: only where it is asked for

        directory = None if data_dir is None else _folder(data_dir)
        source = digits_jax.data.tfds.read(dataset.removeprefix(TFDS_PREFIX), directory)
    else:
        raise ValueError(
            f"unknown dataset {dataset!r}: known are 'mnist' and 'tfds:NAME', "
            f"as in 'tfds:fashion_mnist'"
        )
    return _split(source, str(data_dir or dataset), train_size, validation_size)


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
    if dataset != "mnist":
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
