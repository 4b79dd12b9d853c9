"""Loading: what goes into which split, and what a broken data set gets."""

import numpy as np
import pytest

from digits_jax import data


def test_the_default_splits_of_mnist():
    splits = data.load()
    whole = data.load(train_size=60_000, validation_size=0)
    np.testing.assert_array_equal(splits.train.images, whole.train.images[:10_000])
    np.testing.assert_array_equal(splits.validation.images, whole.train.images[50_000:])
    np.testing.assert_array_equal(splits.validation.labels, whole.train.labels[50_000:])
    np.testing.assert_array_equal(splits.test.images, whole.test.images)
    assert splits.num_classes == 10
    assert splits.image_shape == (28, 28)
    assert splits.train.images.dtype == np.uint8
    assert splits.train.labels.dtype == np.int32


@pytest.mark.parametrize("compress", [False, True])
def test_a_folder_of_ones_own(tmp_path, write_idx_folder, tiny_split, compress):
    train, test = tiny_split(20), tiny_split(6, seed=1)
    write_idx_folder(tmp_path, train, test, compress)
    splits = data.load("mnist", tmp_path, train_size=12, validation_size=8)
    assert (splits.image_shape, splits.num_classes) == ((5, 7), 3)
    np.testing.assert_array_equal(splits.train.images, train[0][:12])
    np.testing.assert_array_equal(splits.validation.images, train[0][12:])
    np.testing.assert_array_equal(splits.test.labels, test[1])


def test_classes_are_named_by_labels_txt_or_else_by_their_index(
    tmp_path, write_idx_folder, tiny_split
):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(6))
    assert data.load("mnist", tmp_path, 12, 8).class_names == ("0", "1", "2")
    (tmp_path / "labels.txt").write_text("Ankle boot\nBag\nÄrmelkleid\n", "utf-8")
    assert data.load("mnist", tmp_path, 12, 8).class_names == ("Ankle boot", "Bag", "Ärmelkleid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"boot\nbag\n", "labels.txt: expected 3 lines .* found 2 lines, 0 of them empty"),
        (b"boot\n\nbag\n", "found 3 lines, 1 of them empty"),
        (b"boot\nbag\ncoat\ndress", "found 4 lines"),
        (b"\xff\nbag\ncoat", "labels.txt: not UTF-8"),
    ],
)
def test_class_names_that_do_not_fit(tmp_path, write_idx_folder, tiny_split, content, message):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(6))
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        data.load("mnist", tmp_path, 12, 8)
    assert "\n" not in str(error.value)


def test_no_validation_images(tmp_path, write_idx_folder, tiny_split):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(6))
    splits = data.load("mnist", tmp_path, train_size=20, validation_size=0)
    assert len(splits.train.images) == 20
    assert splits.validation.images.shape == (0, 5, 7)


@pytest.mark.parametrize(("train_size", "validation_size"), [(13, 8), (21, 0), (1, 20)])
def test_splits_may_not_overlap(
    tmp_path, write_idx_folder, tiny_split, train_size, validation_size
):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(6))
    with pytest.raises(ValueError, match="overlap: there are 20 training images in all"):
        data.load("mnist", tmp_path, train_size, validation_size)


def broken_folders(tiny_split):
    images, labels = tiny_split(20)
    test = tiny_split(6)
    return {
        "20 images, .* 19 labels": ((images, labels[:19]), test),
        "5 images, .* 6 labels": ((images, labels), (test[0][:5], test[1])),
        "training images 5 x 7, test images 5 x 6 pixels": (
            (images, labels),
            (test[0][:, :, :6], test[1]),
        ),
        "test label 3 is not among the 3 classes": ((images, labels), (test[0], test[1] + 1)),
        "holds no pixels": ((images[:0], labels[:0]), test),
    }


@pytest.mark.parametrize("case", range(5))
def test_a_folder_that_does_not_fit_together(tmp_path, write_idx_folder, tiny_split, case):
    message, (train, test) = list(broken_folders(tiny_split).items())[case]
    write_idx_folder(tmp_path, train, test)
    with pytest.raises(ValueError, match=message) as error:
        data.load("mnist", tmp_path, 10, 5)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path, write_idx_folder, tiny_split):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(6))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"no labels for t10k-images-idx3-ubyte.gz are there"):
        data.load("mnist", tmp_path, 10, 5)


def test_an_unknown_dataset_lists_the_known_ones():
    with pytest.raises(ValueError, match="known are 'mnist' and 'tfds:NAME'"):
        data.load("minst")


@pytest.mark.parametrize("sizes", [(10_000, 10_000), (59_999, 1), (60_000, 0)])
def test_an_outline_has_the_shapes_and_labels_of_the_data(sizes):
    whole, outline = data.load("mnist", None, *sizes), data.outline("mnist", None, *sizes)
    assert outline.num_classes == whole.num_classes
    assert outline.class_names == whole.class_names
    for split, drawn in zip(whole[:3], outline[:3], strict=True):
        assert (drawn.images.shape, drawn.images.dtype) == (split.images.shape, split.images.dtype)
        np.testing.assert_array_equal(drawn.labels, split.labels)
        assert drawn.images.strides == (0, 0, 0)  # no memory


def test_an_outline_finds_what_headers_tell(tmp_path, write_idx_folder, tiny_split):
    write_idx_folder(tmp_path, tiny_split(20), tiny_split(5, shape=(5, 8)))
    with pytest.raises(ValueError, match="training images 5 x 7, test images 5 x 8 pixels"):
        data.outline("mnist", tmp_path, 10, 10)
    assert data.outline("tfds:mnist") is None
