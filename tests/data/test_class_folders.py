"""Class folders of pictures: any of them, in one order, and one line for what is none."""

import numpy as np
import pytest
from PIL import Image

from digits_jax import data


def write(folder, images, labels, names, suffix="png"):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / names[label] / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


@pytest.fixture
def split_folder(tmp_path, tiny_split):
    """20 training and 6 test images of 9 x 8 pixels, of classes 2, 10 and 30."""
    for side, count in {"train": 20, "test": 6}.items():
        write(tmp_path / side, *tiny_split(count, (8, 9), seed=count), ["2", "10", "30"])
    return tmp_path


def contents(dataset):
    return sorted((int(label), image.tobytes()) for image, label in zip(*dataset, strict=True))


def test_train_and_test_hold_class_folders_by_number(split_folder, tiny_split):
    splits = data.load(data_dir=split_folder, train_size=20, validation_size=0)
    assert (splits.image_shape, splits.class_names) == ((8, 9), ("2", "10", "30"))
    images, labels = tiny_split(20, (8, 9), seed=20)
    assert contents(splits.train) == contents((images, labels))
    assert contents(splits.test) == contents(tiny_split(6, (8, 9), seed=6))
    # Mixed: the front of the file, which is what is trained on, is not of one class.
    assert set(splits.train.labels[:8].tolist()) == {0, 1, 2}
    assert data.count(data_dir=split_folder) == 20
    assert data.outline(data_dir=split_folder) is None


def test_file_names_decide_nothing(split_folder, tmp_path):
    before = data.load(data_dir=split_folder, train_size=12, validation_size=8)
    for number, path in enumerate(sorted(split_folder.glob("*/*/*.png"), reverse=True)):
        path.rename(path.with_name(f"{number:05}.PNG"))
    after = data.load(data_dir=split_folder, train_size=12, validation_size=8)
    for left, right in zip(before[:3], after[:3], strict=True):
        np.testing.assert_array_equal(left.images, right.images)
        np.testing.assert_array_equal(left.labels, right.labels)


def test_class_folders_alone_keep_a_sixth_for_the_test(tmp_path, tiny_split):
    images, labels = tiny_split(300, (8, 9))
    write(tmp_path, images, labels, ["cat", "dog", "emu"])
    write(tmp_path, images[:40], labels[:40], ["cat", "dog", "emu"], suffix="bmp")  # once more
    splits = data.load(data_dir=tmp_path, train_size=200, validation_size=0)
    assert splits.class_names == ("cat", "dog", "emu")
    assert 30 <= len(splits.test.labels) <= 85
    every = data.count(data_dir=tmp_path)
    assert every + len(splits.test.labels) == 340
    whole = data.load(data_dir=tmp_path, train_size=every, validation_size=0)
    tested = {image.tobytes() for image in whole.test.images}
    assert not tested & {image.tobytes() for image in whole.train.images}


def test_colours_become_grey_and_jpeg_is_read(tmp_path):
    for side in ("train", "test"):
        for name, colour in {"red": (255, 0, 0), "white": (255, 255, 255)}.items():
            (tmp_path / side / name).mkdir(parents=True)
            Image.new("RGB", (8, 8), colour).save(tmp_path / side / name / "one.jpg", quality=100)
    splits = data.load(data_dir=tmp_path, train_size=2, validation_size=0)
    grey = {int(label): int(image[0, 0]) for image, label in zip(*splits.train, strict=True)}
    assert abs(grey[0] - 76) <= 1  # 0.299 of 255
    assert grey[1] == 255


def mistakes(folder):
    picture = folder / "train" / "2" / "0.png"
    return {
        "2/0.png: not a picture, or damaged": lambda: picture.write_bytes(b"none"),
        "2/0.png: damaged or truncated": lambda: picture.write_bytes(picture.read_bytes()[:-60]),
        "9 x 8 pixels, .*0.png 12 x 12: all must have one size": lambda: Image.new(
            "L", (12, 12)
        ).save(picture),
        "2/notes.txt: expected only pictures": lambda: picture.with_name("notes.txt").write_text(
            "x"
        ),
        "expected one folder each for train, validation and test, found others, ": lambda: (
            folder / "test"
        ).rename(folder / "others"),
        "7 in test and not in train": lambda: (folder / "test" / "2").rename(folder / "test" / "7"),
        "train: no class folders with pictures": lambda: [
            path.unlink() if path.is_file() else path.rmdir()
            for path in sorted((folder / "train").glob("**/*"), reverse=True)
        ],
    }


@pytest.mark.parametrize("case", range(7))
def test_what_does_not_fit_gets_one_line(split_folder, case):
    message, spoil = list(mistakes(split_folder).items())[case]
    spoil()
    with pytest.raises(ValueError, match=message) as error:
        data.load(data_dir=split_folder, train_size=10, validation_size=5)
    assert "\n" not in str(error.value)
    assert str(split_folder) in str(error.value)
