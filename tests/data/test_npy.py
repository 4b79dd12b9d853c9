"""Arrays of NumPy as data: with a test set of their own, or a sixth of all; checked."""

import numpy as np
import pytest

from digits_jax import data


def save(folder, split, images, labels):
    np.save(folder / f"{split}images.npy", images)
    np.save(folder / f"{split}labels.npy", labels)


def test_training_and_test_arrays(tmp_path, tiny_split):
    train, test = tiny_split(20), tiny_split(6, seed=1)
    save(tmp_path, "train_", train[0], train[1].astype(np.int64))
    save(tmp_path, "test_", *test)
    splits = data.load(data_dir=tmp_path, train_size=12, validation_size=8)
    np.testing.assert_array_equal(splits.train.images, train[0][:12])
    np.testing.assert_array_equal(splits.validation.labels, train[1][12:])
    np.testing.assert_array_equal(splits.test.images, test[0])
    assert (splits.num_classes, splits.class_names) == (3, ("0", "1", "2"))


def test_one_pair_keeps_a_sixth_for_the_test(tmp_path, tiny_split):
    images, labels = tiny_split(300)
    save(tmp_path, "", images, labels)
    (tmp_path / "labels.txt").write_text("cat\ndog\nemu\n")
    every = data.count(data_dir=tmp_path)
    splits = data.load(data_dir=tmp_path, train_size=every, validation_size=0)
    assert 25 <= len(splits.test.labels) == 300 - every <= 75
    assert splits.class_names == ("cat", "dog", "emu")
    # More images leave those before where they are.
    save(
        tmp_path,
        "",
        *(
            np.concatenate([new, old])
            for new, old in zip(tiny_split(9, seed=5), (images, labels), strict=True)
        ),
    )
    more = data.load(data_dir=tmp_path, train_size=1, validation_size=0).test.images
    assert {i.tobytes() for i in splits.test.images} <= {i.tobytes() for i in more}


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((9, 4, 4), np.nan), np.arange(9) % 3, "grey levels from nan to"),
        (np.full((9, 4, 4), -0.4), np.arange(9) % 3, "images that were normalised"),
        (np.zeros((9, 4, 4), np.uint8), np.arange(9) / 2, "train labels are fractions"),
        (np.zeros((9, 4, 4), np.uint8), np.zeros(8, int), "holds 9 images, .* 8 labels"),
        (np.zeros((9, 4, 4), np.uint8), np.full(9, -(2**32)), "label -4294967296: expected"),
        (np.zeros((9, 4, 4), np.uint8), np.full(9, 10**12), "at most *10000 classes"),
        (np.zeros((9, 4, 4), np.uint8), np.full(9, -1), "label -1"),
        (np.zeros((9, 4, 4, 3), np.uint8), np.zeros((9, 4), int), "not one-hot"),
        (np.zeros((9, 2, 4, 4, 7), np.uint8), np.zeros(9, int), r"expected images as \[n, height"),
        (np.array([{}]), np.zeros(1, int), "images.npy: .*Python objects"),
    ],
)
def test_what_does_not_fit_gets_one_line(tmp_path, tiny_split, images, labels, message):
    save(tmp_path, "train_", images, labels)
    save(tmp_path, "test_", *tiny_split(6, (4, 4)))
    with pytest.raises(ValueError, match=message) as error:
        data.load(data_dir=tmp_path, train_size=5, validation_size=2)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_missing_or_truncated_file_is_named(tmp_path, tiny_split):
    save(tmp_path, "train_", *tiny_split(20))
    save(tmp_path, "test_", *tiny_split(6))
    (tmp_path / "test_labels.npy").unlink()
    with pytest.raises(ValueError, match=r"no labels for test_images.npy are there"):
        data.load(data_dir=tmp_path, train_size=5, validation_size=2)
    path = tmp_path / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"train_images.npy: NumPy array: .*mmap length is greater"
    ):
        data.load(data_dir=tmp_path, train_size=5, validation_size=2)
