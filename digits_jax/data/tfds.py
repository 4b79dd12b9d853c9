"""TensorFlow Datasets, read without importing TensorFlow.

Only preparing a data set, which is downloading it and writing its files, needs TensorFlow. A
prepared one is decoded once: the arrays are kept beside its files, for a quick next load. TFDS
shuffles what it prepares: `tfds:mnist` holds the images of `mnist` in another order.
"""

import contextlib
import difflib
import importlib
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from digits_jax.data.checks import LUMA
from digits_jax.data.dataset import Dataset

NAME = re.compile(r"\w+(/[\w.-]+)?(:[\d*]+\.[\d*]+\.[\d*]+)?")
READ_SIZE = 1000
# TFDS's own ten take 200 seconds to find out that there is no network.
DOWNLOAD_RETRIES = 5


class Prepared(NamedTuple):
    """The splits of a data set that TFDS has prepared."""

    train: Dataset
    test: Dataset
    num_classes: int
    class_names: tuple[str, ...]


def read(name: str, data_dir: str | os.PathLike[str] | None) -> Prepared:
    """Reads the splits `train` and `test` of a data set, after preparing it where it is not yet.

    Args:
        name: TFDS's name for it, with config and version where need be: `fashion_mnist`,
            `emnist/letters`, `mnist:3.0.1`.
        data_dir: the folder of prepared data sets; `None` is TFDS's own default, `$TFDS_DATA_DIR`
            or `~/tensorflow_datasets`.

    Returns:
        Images uint8 [n, height, width], colour turned into grey, and labels int32 [n].

    Raises:
        ValueError: in one line, where the data set is unknown, cannot be prepared, is damaged,
            lacks a split, or does not hold labelled 8-bit images of one size.
    """
    with _errors_only():
        builder = _find(name, data_dir)
        _check_features(builder)
        if not builder.is_prepared():
            _prepare(builder)
        _check_splits(builder)
        train, test = _load(builder, "train"), _load(builder, "test")
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = [" x ".join(map(str, split.images.shape[1:])) for split in (train, test)]
        raise ValueError(
            f"{builder.data_dir}: training images are {sizes[0]} pixels, test images {sizes[1]}"
        )
    label = builder.info.features["label"]
    return Prepared(train, test, label.num_classes, tuple(label.names))


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """Silences what TFDS and its downloads log below an error, and keeps them off stdout."""
    importlib.import_module("absl.logging")  # has to make its logger itself
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _find(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds

    if not NAME.fullmatch(name):
        raise ValueError(f"tfds:{name!r}: expected a name like emnist/letters or mnist:3.0.1")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # TFDS raises many types for a wrong name, config or version.
        without_version = name.partition(":")[0]
        set_name, _, config = without_version.partition("/")
        known = tfds.list_builders(with_community_datasets=False)
        if set_name in known:
            configs = tfds.builder_cls(set_name).builder_configs
            if not config or config in configs:
                raise ValueError(f"tfds:{name}: {_one_line(error)}") from error
            known = [set_name, *(f"{set_name}/{config}" for config in configs)]
        elif not isinstance(error, tfds.core.DatasetNotFoundError):
            raise ValueError(f"tfds:{name}: {_one_line(error)}") from error
        close = difflib.get_close_matches(without_version, known)
        raise ValueError(
            f"tfds:{name}: neither known to TFDS nor prepared in "
            f"{data_dir or tfds.core.constants.DATA_DIR}"
            + (f"; did you mean {' or '.join(close)}?" if close else "")
        ) from None


def _check_features(builder: Any) -> None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    if isinstance(features, tfds.features.FeaturesDict) and {"image", "label"} <= set(features):
        image, label = features["image"], features["label"]
        if (
            image.np_dtype == np.uint8
            and len(image.shape) == 3
            and image.shape[-1] in (1, 3)
            and isinstance(label, tfds.features.ClassLabel)
            and label.num_classes
        ):
            return
    raise ValueError(
        f"tfds:{builder.info.full_name}: needs image, uint8 [height, width, 1 or 3], and label, a "
        f"ClassLabel that knows the number of classes; its features are {_one_line(features)}"
    )


def _prepare(builder: Any) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError:
        raise ValueError(
            f"{builder.data_dir}: not prepared yet, and preparing a data set needs TensorFlow: "
            "pip install -e '.[tensorflow]'"
        ) from None
    # Otherwise TensorFlow takes the GPUs' memory from JAX; once it uses them it is too late.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, DOWNLOAD_RETRIES
    try:
        builder.download_and_prepare(
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
    except Exception as error:
        raise ValueError(f"{builder.data_dir}: cannot be prepared: {_one_line(error)}") from error
    finally:
        downloader.MAX_RETRIES = retries


def _check_splits(builder: Any) -> None:
    counts = {split: info.num_examples for split, info in builder.info.splits.items()}
    if not (counts.get("train") and counts.get("test")):
        there = ", ".join(f"{split} ({count} examples)" for split, count in counts.items())
        raise ValueError(
            f"{builder.data_dir}: needs the splits train and test, has {there or 'none'}"
        )


def _load(builder: Any, split: str) -> Dataset:
    """Reads the decoded copy of a split, or decodes it and keeps a copy where that is allowed."""
    count = builder.info.splits[split].num_examples
    path = Path(builder.data_dir) / f"digits_jax-{split}.npz"
    dataset = _read_copy(path, count)
    if dataset is None:
        dataset = _decode(builder, split, count)
        with contextlib.suppress(OSError):
            _write_copy(path, dataset)
    return dataset


def _read_copy(path: Path, count: int) -> Dataset | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except Exception:  # Whatever is wrong with the copy, it can be made again.
        return None
    right_types = images.dtype == np.uint8 and labels.dtype == np.int32
    right_shapes = images.ndim == 3 and len(images) == count and labels.shape == (count,)
    return Dataset(images, labels) if right_types and right_shapes else None


def _write_copy(path: Path, dataset: Dataset) -> None:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, images=dataset.images, labels=dataset.labels)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _decode(builder: Any, split: str, count: int) -> Dataset:
    images, labels = [], []
    for example in _examples(builder, split):
        images.append(_grey(example["image"]))
        labels.append(example["label"])
        if images[-1].shape != images[0].shape:
            sizes = [" x ".join(map(str, image.shape)) for image in (images[0], images[-1])]
            raise ValueError(
                f"{builder.data_dir}: {split} images differ in size: {' and '.join(sizes)} pixels"
            )
    if len(images) != count:
        raise ValueError(f"{builder.data_dir}: {len(images)} {split} images instead of {count}")
    return Dataset(np.stack(images), np.array(labels, np.int32))


def _grey(image: np.ndarray) -> np.ndarray:
    grey: np.ndarray = image[..., 0] if image.shape[-1] == 1 else np.rint(image @ LUMA)
    return grey.astype(np.uint8)


def _examples(builder: Any, split: str) -> Iterator[dict[str, Any]]:
    info = builder.info
    try:
        # The format TFDS writes unless told otherwise, and reads with TensorFlow only.
        if [file_format.value for file_format in info.available_file_formats()] == ["tfrecord"]:
            for path in info.splits[split].filepaths:
                for record in _tfrecords(path):
                    yield info.features.deserialize_example_np(record)
        else:
            source = builder.as_data_source(split)
            for start in range(0, len(source), READ_SIZE):
                yield from source.__getitems__(range(start, min(start + READ_SIZE, len(source))))
    except Exception as error:
        raise ValueError(
            f"{builder.data_dir}: {split} is damaged: {_one_line(error)}; "
            "remove the folder to have it prepared again"
        ) from error


def _tfrecords(path: os.PathLike[str]) -> Iterator[bytes]:
    """Yields the records of a file: each is a length, a checksum, that many bytes, a checksum."""
    with open(path, "rb") as file:
        while header := file.read(12):
            length = int.from_bytes(header[:8], "little") + 4
            record = file.read(length)
            if len(record) < length:
                raise ValueError(f"{path} is truncated")
            yield record[:-4]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
