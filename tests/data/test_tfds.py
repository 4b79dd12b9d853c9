"""Data sets that TFDS really prepares, in a temporary folder, without network or TensorFlow."""

import contextlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from digits_jax import data
from digits_jax.data.tfds import Prepared, read

COUNTS = {"train": 30, "test": 12}
CLASSES = 4
needs_no_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None,
    reason="TensorFlow is installed: the data set would be prepared",
)


def grey_images(split: str) -> np.ndarray:
    key = list(COUNTS).index(split)
    return np.random.default_rng(key).integers(0, 256, (COUNTS[split], 9, 7, 1), np.uint8)


def labels(split: str) -> np.ndarray:
    return np.arange(COUNTS[split]) % CLASSES


class LabelledImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images of noise; subclasses vary what they hold."""

    VERSION = tfds.core.Version("1.2.3")
    IMAGE = tfds.features.Image(shape=(9, 7, 1))
    LABEL = tfds.features.ClassLabel(num_classes=CLASSES)
    SPLITS = ("train", "test")

    def _info(self):
        features = tfds.features.FeaturesDict({"image": self.IMAGE, "label": self.LABEL})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
        for i, (image, label) in enumerate(zip(self.images(split), labels(split), strict=True)):
            yield i, {"image": self.encode(image), "label": int(label)}

    def images(self, split):
        return grey_images(split)

    def encode(self, image):
        return PIL.Image.fromarray(image.squeeze())  # an array would need TensorFlow


class GreyNoise(LabelledImages):
    """A class that TFDS knows by its name, grey_noise."""


class ColourNoise(LabelledImages):
    """The first three training images are pure red, green and blue."""

    IMAGE = tfds.features.Image(shape=(9, 7, 3))

    def images(self, split):
        noise = np.random.default_rng(7).integers(0, 256, (COUNTS[split], 9, 7, 3), np.uint8)
        noise[:3] = 255 * np.eye(3, dtype=np.uint8)[:, None, None, :]
        return noise


class TwoKinds(LabelledImages):
    """Two configs with the same images."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(name=name, version="1.2.3") for name in ("letters", "digits")
    ]


class NoTest(LabelledImages):
    SPLITS = ("train",)


class NamedNoise(LabelledImages):
    LABEL = tfds.features.ClassLabel(names=["boot", "bag", "coat", "dress"])


class TwoSizes(LabelledImages):
    IMAGE = tfds.features.Image(shape=(None, None, 1))

    def images(self, split):
        first, *others = grey_images(split)
        return [first[:5], *others]


class OtherTestSize(LabelledImages):
    IMAGE = tfds.features.Image(shape=(None, None, 1))

    def images(self, split):
        return grey_images(split)[:, : 9 if split == "train" else 5]


class SixteenBits(LabelledImages):
    IMAGE = tfds.features.Tensor(shape=(9, 7, 1), dtype=np.uint16)

    def encode(self, image):
        return image.astype(np.uint16)


class NumberLabel(LabelledImages):
    LABEL = tfds.features.Scalar(np.int64)


class UnpreparedNoise(LabelledImages):
    """Never prepared by a fixture."""


def prepare(builder_class: type[LabelledImages], data_dir: Path, **options: str) -> Path:
    builder = builder_class(data_dir=data_dir, **options)
    builder.download_and_prepare(file_format="array_record")
    return Path(builder.data_dir)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets that no test changes."""
    data_dir = tmp_path_factory.mktemp("tensorflow_datasets")
    for builder_class in (GreyNoise, NoTest, TwoSizes, OtherTestSize, SixteenBits, NumberLabel):
        prepare(builder_class, data_dir)
    return data_dir


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns("digits_jax*")))


@pytest.fixture
def grey(tmp_path: Path, prepared: Path) -> Path:
    """A data set of one's own: the folder of its files, three below `data_dir`."""
    return copy_of(prepared / "grey_noise", tmp_path / "grey_noise") / "1.2.3"


def assert_is_grey_noise(source: Prepared) -> None:
    assert source.num_classes == CLASSES
    for split, dataset in (("train", source.train), ("test", source.test)):
        assert dataset.images.dtype == np.uint8
        assert dataset.labels.dtype == np.int32
        np.testing.assert_array_equal(dataset.images, grey_images(split)[..., 0])
        np.testing.assert_array_equal(dataset.labels, labels(split))


def refusal(name: str, data_dir: Path) -> str:
    """The one line that `read` refuses a data set with."""
    with pytest.raises(ValueError, match=r".") as raised:
        read(name, data_dir)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", ["grey_noise", "grey_noise:1.2.3", "grey_noise:1.*.*"])
def test_holds_the_pixels_and_labels_that_were_written(prepared: Path, name: str):
    assert_is_grey_noise(read(name, prepared))


def test_load_cuts_the_splits(prepared: Path):
    splits = data.load("tfds:grey_noise", prepared, train_size=20, validation_size=10)
    np.testing.assert_array_equal(splits.train.images, grey_images("train")[:20, ..., 0])
    np.testing.assert_array_equal(splits.validation.images, grey_images("train")[20:, ..., 0])
    np.testing.assert_array_equal(splits.test.labels, labels("test"))


def test_classes_have_the_names_that_tfds_gives_them(tmp_path: Path):
    prepare(NamedNoise, tmp_path)
    assert read("named_noise", tmp_path).class_names == ("boot", "bag", "coat", "dress")


def test_colour_becomes_the_luma_of_bt_601(tmp_path: Path):
    prepare(ColourNoise, tmp_path)
    images = read("colour_noise", tmp_path).train.images
    assert images.dtype == np.uint8
    # 0.299, 0.587 and 0.114 of 255
    for image, luma in zip(images, (76, 150, 29), strict=False):
        np.testing.assert_array_equal(image, np.full((9, 7), luma))
    red, green, blue = np.moveaxis(ColourNoise(data_dir=tmp_path).images("train"), 3, 0)
    exact = (299 * red.astype(int) + 587 * green.astype(int) + 114 * blue.astype(int)) / 1000
    assert np.abs(images - exact).max() <= 0.5


def test_a_config_is_read_from_its_own_folder(tmp_path: Path):
    folder = prepare(TwoKinds, tmp_path, config="digits")
    assert folder == tmp_path / "two_kinds" / "digits" / "1.2.3"
    assert_is_grey_noise(read("two_kinds/digits", tmp_path))
    assert (folder / "digits_jax-train.npz").is_file()
    message = refusal("two_kinds/digit", tmp_path)
    assert "did you mean two_kinds/digits" in message


def test_second_load_needs_only_the_decoded_copy(grey: Path):
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))
    for path in grey.glob("*array_record*"):
        path.unlink()
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))
    names = sorted(path.name for path in grey.glob("digits_jax*"))
    assert names == ["digits_jax-test.npz", "digits_jax-train.npz"]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rewrite(path: Path, change_images, change_labels=lambda labels: labels) -> None:
    with np.load(path) as arrays:
        images, labels = change_images(arrays["images"]), change_labels(arrays["labels"])
    np.savez(path, images=images, labels=labels)


def drop_an_image(path: Path) -> None:
    rewrite(path, lambda images: images[1:])


def drop_a_label(path: Path) -> None:
    rewrite(path, lambda images: images, lambda labels: labels[1:])


def drop_an_example(path: Path) -> None:
    rewrite(path, lambda images: images[1:], lambda labels: labels[1:])


def flatten_images(path: Path) -> None:
    rewrite(path, lambda images: images.reshape(len(images), -1))


def widen_labels(path: Path) -> None:
    rewrite(path, lambda images: images, np.int64)


def hold_one_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.zeros(30, np.uint8))


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        flip_a_pixel,
        empty,
        drop_an_image,
        drop_a_label,
        drop_an_example,
        flatten_images,
        widen_labels,
        hold_one_array,
    ],
)
def test_spoilt_copy_is_made_again(grey: Path, spoil):
    copy = grey / "digits_jax-train.npz"
    read("grey_noise", grey.parents[1])
    good = copy.read_bytes()
    spoil(copy)
    assert copy.read_bytes() != good
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))
    assert copy.read_bytes() == good


def test_copy_is_never_unpickled(grey: Path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(grey / "sprung"),)

    np.savez(grey / "digits_jax-train.npz", images=np.array([Trap()]), labels=np.arange(30))
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))
    assert not (grey / "sprung").exists()


@contextlib.contextmanager
def without_root_rights() -> Iterator[None]:
    """Permissions do not bind root, who therefore becomes another user for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_folder_that_cannot_be_written_is_read_without_a_copy(prepared: Path):
    # Not below tmp_path, which another user may not enter.
    with tempfile.TemporaryDirectory() as data_dir:
        folder = copy_of(prepared / "grey_noise", Path(data_dir, "grey_noise")) / "1.2.3"
        os.chmod(data_dir, 0o755)
        folder.chmod(0o555)
        try:
            with without_root_rights():
                if not os.access(folder, os.R_OK, effective_ids=True):
                    pytest.skip(f"another user may not enter {data_dir}")
                with pytest.raises(PermissionError):
                    (folder / "new").touch()
                assert_is_grey_noise(read("grey_noise", Path(data_dir)))
            assert not list(folder.glob("digits_jax*"))
        finally:
            folder.chmod(0o755)


def test_copy_that_cannot_be_replaced_leaves_no_rest(grey: Path):
    (grey / "digits_jax-train.npz").mkdir()
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))
    assert not list(grey.glob("*.tmp"))


def in_a_new_process(program: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else None
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd=Path(data.__file__).parents[2],
        check=False,
    )


def test_reads_quietly_from_files_alone_and_without_tensorflow(grey: Path):
    """Neither the class that wrote the files nor TensorFlow is there; nothing is printed."""
    program = f"""
import sys
from digits_jax.data.tfds import read
assert "tensorflow_datasets" not in sys.modules
for times in range(2):
    source = read("grey_noise", {str(grey.parents[1])!r})
    assert source.train.images.shape == (30, 9, 7)
assert "tensorflow_datasets" in sys.modules and "tensorflow" not in sys.modules
"""
    done = in_a_new_process(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def as_tfrecords(folder: Path, dropped: int = 0) -> None:
    """Rewrites a data set in TFDS's default format (checksums left zero, as nobody reads them)."""
    builder = tfds.builder_from_directory(folder)
    for split in COUNTS:
        source = builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
        with open(folder / f"grey_noise-{split}.tfrecord-00000-of-00001", "wb") as file:
            kept = list(source)[: len(source) - dropped]
            file.writelines(struct.pack("<Q4x", len(r)) + r + bytes(4) for r in kept)
    for path in folder.glob("*array_record*"):
        path.unlink()
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))


def test_tfrecords_are_read_like_array_records(grey: Path):
    as_tfrecords(grey)
    assert_is_grey_noise(read("grey_noise", grey.parents[1]))


@pytest.mark.parametrize("rest", [-3, -1500, 5])
def test_truncated_tfrecords_are_refused(grey: Path, rest: int):
    as_tfrecords(grey)
    path = grey / "grey_noise-train.tfrecord-00000-of-00001"
    os.truncate(path, rest if rest > 0 else path.stat().st_size + rest)
    assert "tfrecord-00000-of-00001 is truncated" in refusal("grey_noise", grey.parents[1])
    assert not list(grey.glob("digits_jax*"))


def test_missing_records_are_noticed(grey: Path):
    as_tfrecords(grey, dropped=1)
    assert "29 train images instead of 30" in refusal("grey_noise", grey.parents[1])
    assert not list(grey.glob("digits_jax*"))


def test_missing_and_foreign_files_are_refused(grey: Path):
    (path,) = grey.glob("*train*array_record*")
    path.write_bytes(b"no array_record" * 99)
    assert "train is damaged" in refusal("grey_noise", grey.parents[1])
    path.unlink()
    assert "train is damaged" in refusal("grey_noise", grey.parents[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fashion_mnst", "did you mean fashion_mnist"),
        ("emnist/lettrs", "did you mean emnist/letters"),
        ("qqqqqqqq", "neither known to TFDS nor prepared in"),
        ("mnist:9.9.9", "only: 3.0.1"),
        ("", "expected a name like"),
        ("mnist/", "expected a name like"),
        ("../grey_noise", "expected a name like"),
        ("huggingface:mnist", "expected a name like"),
        ("mnist/data_dir=elsewhere", "expected a name like"),
    ],
)
def test_unknown_names_are_refused_with_what_comes_close(tmp_path: Path, name: str, expected: str):
    message = refusal(name, tmp_path)
    assert expected in message
    assert name in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no_test", "needs the splits train and test, has train (30 examples)"),
        ("two_sizes", "train images differ in size: 5 x 7 and 9 x 7 pixels"),
        ("other_test_size", "training images are 9 x 7 pixels, test images 5 x 7"),
        ("sixteen_bits", "'image': Tensor(shape=(9, 7, 1), dtype=uint16)"),
        ("number_label", "'label': Scalar(shape=(), dtype=int64)"),
    ],
)
def test_unfit_data_sets_are_refused(prepared: Path, name: str, expected: str):
    assert expected in refusal(name, prepared)


@needs_no_tensorflow
@pytest.mark.parametrize("name", ["unprepared_noise", "mnist"])
def test_unprepared_set_names_the_command_that_helps(tmp_path: Path, name: str):
    assert "pip install -e '.[tensorflow]'" in refusal(name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reachable", [True, False])
def test_unprepared_set_is_prepared_with_the_gpus_hidden(tmp_path: Path, reachable: bool):
    """A stand-in for TensorFlow records what it is asked: the builder itself needs none of it."""
    stand_in = tmp_path / "tensorflow"
    stand_in.mkdir()
    (stand_in / "__init__.py").write_text("""
import types
calls = []
config = types.SimpleNamespace(set_visible_devices=lambda *arguments: calls.append(arguments))
""")
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_tfds
if not {reachable}:
    def _split_generators(self, dl_manager):
        raise ConnectionError("no network\\nhere")
    test_tfds.UnpreparedNoise._split_generators = _split_generators
try:
    source = test_tfds.read("unprepared_noise", {str(tmp_path)!r})
    test_tfds.assert_is_grey_noise(source)
except ValueError as error:
    print(error)
import tensorflow
assert tensorflow.calls == [([], "GPU")]
"""
    done = in_a_new_process(program, path=tmp_path)
    folder = tmp_path / "unprepared_noise" / "1.2.3"
    assert done.returncode == 0, done.stderr
    if reachable:
        assert done.stdout == ""
        assert list(folder.glob("*.array_record*"))
    else:
        assert done.stdout == f"{folder}: cannot be prepared: no network here\n"
        assert not folder.exists()
