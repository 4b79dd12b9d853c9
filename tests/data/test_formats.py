"""Data as people have them: files in each format, read to the same images, and learnt from."""

import gzip
import io
import json
import logging
import os
import pickle
import re
import struct
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pytest
import scipy.io
from PIL import Image
from pyarrow import parquet

from digits_jax import Config, data, hyperparameters, make_training

TRAIN, TEST = 900, 300
FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def digits():
    """Images and labels of MNIST: 900 for training, 300 for the test."""
    splits = data.load(train_size=TRAIN, validation_size=0)
    return tuple(splits.train), (splits.test.images[:TEST], splits.test.labels[:TEST])


@pytest.fixture
def said():
    """The lines that the library says while a test runs."""
    lines, log = [], logging.getLogger("digits_jax.data")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lines
    log.removeHandler(handler)
    log.setLevel(before)


@pytest.fixture(scope="module")
def accuracy_of():
    """The test accuracy after three epochs of one small network, compiled once."""
    config = Config(
        hidden=(32,), train_size=TRAIN, epochs=3, loss="cross_entropy", learning_rate=0.5
    )
    training = make_training(config, (28, 28), 10)
    run = jax.jit(lambda train: training.run(hyperparameters(config), train, None)[0].params)
    evaluate = jax.jit(training.evaluate)
    return lambda splits: float(evaluate(run(splits.train), splits.test).accuracy)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_csv(path, images, labels, *, header=True, last=False, opener=open):
    columns = [labels[:, None], images.reshape(len(images), -1)]
    table = np.hstack(columns[::-1] if last else columns) if labels is not None else columns[1]
    names = ["label", *(f"pixel{i}" for i in range(images[0].size))]
    with opener(path, "wt") as file:
        file.write(",".join(names) + "\n" if header else "")
        np.savetxt(file, table, fmt="%d", delimiter=",")


def write_hugging_face(folder, train, test):
    names = [f"digit {i}" for i in range(10)]
    info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    (folder / "data").mkdir()
    shards = {"train-00000-of-00002": (0, 500), "train-00001-of-00002": (500, TRAIN)}
    for name, (start, end) in {**shards, "test-00000-of-00001": (0, TEST)}.items():
        images, labels = train if "train" in name else test
        pictures = [{"bytes": png(image), "path": None} for image in images[start:end]]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.table({"image": pa.array(pictures, kind), "label": labels[start:end]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        parquet.write_table(table, folder / "data" / f"{name}.parquet")


def write_emnist_mat(folder, train, test):
    structures = {
        split: {"images": images.reshape(-1, 784), "labels": labels[:, None].astype(np.uint8)}
        for split, (images, labels) in {"train": train, "test": test}.items()
    }
    structures["train"]["writers"] = np.arange(TRAIN)[:, None]
    mapping = np.array([[i, 48 + i] for i in range(10)])
    structure = {**structures, "mapping": mapping}
    scipy.io.savemat(folder / "emnist-digits.mat", {"dataset": structure}, do_compression=True)


def write_svhn_mat(folder, train, test):
    for split, (images, labels) in {"train": train, "test": test}.items():
        colour = np.repeat(np.moveaxis(images, 0, -1)[:, :, None], 3, axis=2)
        content = {"X": colour, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)}
        scipy.io.savemat(folder / f"{split}_28x28.mat", content)


def write_usps_mat(folder, train, test):
    content = {}
    for split, (images, labels) in {"train": train, "test": test}.items():
        content[f"{split}_patterns"] = images.reshape(-1, 784).T / 127.5 - 1
        content[f"{split}_labels"] = 2.0 * np.eye(10)[labels].T - 1
    scipy.io.savemat(folder / "usps.mat", content)


def write_idx(folder, train, test, names, opener=open):
    folder.mkdir(parents=True, exist_ok=True)
    for split, arrays in {"train": train, "test": test}.items():
        for name, array in zip(names[split], arrays, strict=True):
            array = array.astype(np.uint8)
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            with opener(folder / name, "wb") as file:
                file.write(header + array.tobytes())


def write_qmnist(folder, train, test):
    names = {s: (f"qmnist-{s}-images-idx3-ubyte.gz", "x") for s in ("train", "test")}
    write_idx(folder, train, test, names, gzip.open)
    (folder / "x").unlink()
    for split, (_, labels) in {"train": train, "test": test}.items():
        table = np.zeros((len(labels), 8), ">i4")
        table[:, 0] = labels
        header = struct.pack(">HBBII", 0, 0x0C, 2, *table.shape)
        content = gzip.compress(header + table.tobytes())
        (folder / f"qmnist-{split}-labels-idx2-int.gz").write_bytes(content)


def write_emnist_idx(folder, train, test, prefix="emnist-letters", labels_from=0):
    names = {
        s: [f"{prefix}-{s}-images-idx3-ubyte.gz", f"{prefix}-{s}-labels-idx1-ubyte.gz"]
        for s in ("train", "test")
    }
    shifted = [(images, labels + labels_from) for images, labels in (train, test)]
    write_idx(folder, *shifted, names, gzip.open)


def write_pictures(folder, train, test, sides=("training", "testing")):
    for side, (images, labels) in zip(sides, (train, test), strict=True):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / side / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))


def write_nielsen(folder, train, test):
    held_out = (train[0][:50], train[1][:50])
    parts = [(i.reshape(-1, 784).astype(np.float32) / 255, y) for i, y in (train, held_out, test)]
    (folder / "mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(tuple(parts), protocol=2)))


RAW = {
    "train": ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    "test": ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
}
DOTTED = {split: [name.replace("-idx", ".idx") for name in names] for split, names in RAW.items()}


def npz(**names):
    def write(folder, train, test):
        arrays = dict(zip(("x", "y", "u", "v"), (*train, *test), strict=True))
        np.savez_compressed(folder / "mnist.npz", **{n: arrays[k] for k, n in names.items()})

    return write


# How a format is written, what is given to --data in the folder, and what the line says.
FORMATS = {
    "keras": (
        lambda f, train, test: np.savez_compressed(
            f / "mnist.npz", x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1]
        ),
        "mnist.npz",
        "10 classes",
    ),
    "npz without names": (lambda f, a, b: np.savez(f / "all.npz", *a, *b), "all.npz", "10 classes"),
    "npz of floats, channels and one-hot rows": (
        lambda f, train, test: np.savez(
            f / "a.npz",
            train_images=train[0][..., None] / 255,
            train_labels=np.eye(10)[train[1]],
            test_images=test[0][..., None] / 255,
            test_labels=np.eye(10)[test[1]],
        ),
        "",
        "labels are one-hot; pixels of 0 to 1 times 255 are grey levels, exactly",
    ),
    "npz in Fortran's order, labels as text": (
        lambda f, train, test: np.savez(
            f / "a.npz",
            X_train=np.asfortranarray(train[0]),
            y_train=np.array(list("abcdefghij"))[train[1]],
            X_test=test[0],
            y_test=np.array(list("abcdefghij"))[test[1]],
        ),
        "a.npz",
        "labels are text",
    ),
    "Hugging Face": (write_hugging_face, "", "10 classes"),
    "torchvision": (
        lambda f, train, test: write_idx(f / "MNIST" / "raw", train, test, RAW),
        "",
        "10 classes",
    ),
    "idx with dots": (lambda f, train, test: write_idx(f, train, test, DOTTED), "", "10 classes"),
    "EMNIST idx": (
        lambda f, train, test: (
            write_emnist_idx(f, train, test, labels_from=1),
            write_emnist_idx(f, test, train, "emnist-balanced"),
        ),
        "emnist-letters",
        "labels are 1 to 10: class 0 is the label 1",
    ),
    "QMNIST": (write_qmnist, "", "10 classes"),
    "EMNIST mat": (write_emnist_mat, "emnist-digits.mat", "10 classes"),
    "SVHN mat": (write_svhn_mat, "", "colours became grey by ITU-R 601"),
    "USPS mat": (write_usps_mat, "usps.mat", "pixels of -1 to 1 times 127.5 are grey levels"),
    "Nielsen": (write_nielsen, "mnist.pkl.gz", "pixels of 0 to 1 times 255"),
    "pictures": (lambda f, train, test: write_pictures(f / "mnist_png", train, test), "", "10 cl"),
    "Fashion's CSV": (
        lambda f, train, test: (
            write_csv(f / "fashion-mnist_train.csv", *train),
            write_csv(f / "fashion-mnist_test.csv", *test),
        ),
        "",
        "10 classes",
    ),
    "headerless CSV, label first": (
        lambda f, train, test: (
            write_csv(f / "mnist_train.csv.gz", *train, header=False, opener=gzip.open),
            write_csv(f / "mnist_test.csv", *test, header=False),
        ),
        "",
        "10 classes",
    ),
    "headerless CSV, label last": (
        lambda f, train, test: (
            write_csv(f / "train.csv", *train, header=False, last=True),
            write_csv(f / "test.csv", *test, header=False, last=True),
        ),
        "",
        "10 classes",
    ),
}


def as_set(images, labels):
    return sorted(
        (image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)
    )


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_images_and_is_learnt(
    tmp_path, digits, said, accuracy_of, name
):
    write, given, line = FORMATS[name]
    write(tmp_path, *digits)
    splits = data.load(data_dir=tmp_path / given, train_size=TRAIN, validation_size=0)
    assert as_set(*splits.train) == as_set(*digits[0])
    assert as_set(*splits.test) == as_set(*digits[1])
    assert splits.num_classes == 10
    if name != "pictures":  # whose order is that of their content
        np.testing.assert_array_equal(splits.train.images, digits[0][0])
    assert said[0].startswith("data: 900 training, 0 validation and 300 test images 28 x 28 of ")
    assert line in said[0]
    assert len(said) == 1, said
    assert accuracy_of(splits) > 0.8


def test_names_of_classes_come_from_where_formats_have_them(tmp_path, digits):
    for name, expected in {"Hugging Face": "digit 3", "EMNIST mat": "3", "EMNIST idx": "4"}.items():
        write, given, _ = FORMATS[name]
        (tmp_path / name).mkdir()
        write(tmp_path / name, *digits)
        splits = data.load(data_dir=tmp_path / name / given, train_size=10, validation_size=0)
        assert splits.class_names[3] == expected


def test_kaggles_test_csv_has_no_labels_and_a_part_of_train_csv_is_the_test(tmp_path, digits, said):
    write_csv(tmp_path / "train.csv", *digits[0])
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(line.split(",", 1)[1] for line in lines[:100]))
    every = data.count(data_dir=tmp_path)
    splits = data.load(data_dir=tmp_path, train_size=every, validation_size=0)
    parts = [as_set(*splits.train), as_set(*splits.test)]
    assert sorted(parts[0] + parts[1]) == as_set(*digits[0])
    assert 0.1 < len(parts[1]) / TRAIN < 0.25
    assert "test images have no labels: left out; no test set: " in said[0]
    assert data.outline(data_dir=tmp_path, train_size=every, validation_size=0) is None


def test_scikit_learns_own_file_and_arrays(tmp_path, said):
    sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    datasets = pytest.importorskip("sklearn.datasets")
    path = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    real = datasets.load_digits()
    whole = as_set(np.rint(real.images * (255 / 16)).astype(np.uint8), real.target)
    np.savez(tmp_path / "digits.npz", **{n: real[n] for n in ("data", "target", "images")})
    for source in (path, tmp_path / "digits.npz"):
        every = data.count(data_dir=source)
        splits = data.load(data_dir=source, train_size=every, validation_size=0)
        assert sorted(as_set(*splits.train) + as_set(*splits.test)) == whole
        assert "pixels of 0 to 16 times 15.9375 are grey levels, rounded by up to 0.50" in said[-1]


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_is_read_from_the_folder_above_it_too(said):
    below, above = (
        data.load(data_dir=folder, train_size=2_000, validation_size=0)
        for folder in (FASHION, FASHION.parent)
    )
    assert np.bincount(below.test.labels).tolist() == [1000] * 10
    np.testing.assert_array_equal(below.train.images, above.train.images)
    assert [line for line in said if "warning" in line and "also training" not in line] == []


def test_a_validation_folder_is_the_validation_set(tmp_path, digits):
    held_out = (digits[0][0][:50], digits[0][1][:50])
    write_pictures(tmp_path, *digits, sides=("Train", "TEST"))
    write_pictures(tmp_path, held_out, held_out, sides=("Val", "Val"))
    splits = data.load(data_dir=tmp_path, train_size=TRAIN, validation_size=50)
    assert as_set(*splits.validation) == as_set(*held_out)
    with pytest.raises(ValueError, match="validation_size=51: there are 50 validation images"):
        data.load(data_dir=tmp_path, train_size=TRAIN, validation_size=51)


def test_a_pickle_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps((Evil(), Evil())))
    with pytest.raises(ValueError, match=r"asks for posix.system, which could run code"):
        data.load(data_dir=tmp_path / "evil.pkl", train_size=1, validation_size=0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5 is not read: save it by np.savez"),
        ("a.txt", b"only a text", "not a data file that is known here: IDX, NumPy array"),
        ("a.csv", b"label," + b"p," * 17 + b"p\n" + b"1," * 18 + b"1\n", "a square number"),
    ],
)
def test_a_file_of_another_kind_is_told_what_to_do(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        data.load(data_dir=tmp_path / name, train_size=1, validation_size=0)
    assert str(error.value).startswith(str(tmp_path / name))


def test_what_is_not_there_is_named_with_what_to_type(tmp_path, digits):
    for name in ("EMNIST idx", "keras"):
        (tmp_path / "two").mkdir(exist_ok=True)
        FORMATS[name][0](tmp_path / "two", *digits)
    (tmp_path / "two" / "mnist.npz").rename(tmp_path / "mnist.v2.npz")
    cases = {
        tmp_path / "mnist-v2.npz": f"did you mean --data={tmp_path}/mnist.v2.npz",
        tmp_path / "two": f"choose one, --data={tmp_path}/two/emnist-balanced or --data={tmp_path}",
        tmp_path / "no" / "such": "no such folder or file",
        tmp_path
        / "two"
        / "emnist-letters-train-images-idx3-ubyte.gz": "give the folder that holds",
    }
    for path, message in cases.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            data.load(data_dir=path, train_size=1, validation_size=0)
