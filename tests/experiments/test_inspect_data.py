"""The data card: what it prints and draws of a real file in real format."""

import csv

import numpy as np
from PIL import Image

from digits_jax import data


def test_a_card_a_sheet_and_the_labels_that_noise_changes(tmp_path, fork_module, tiny_split):
    images, labels = tiny_split(60)
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:9], "y_test": labels[:9]}
    np.savez(tmp_path / "set.npz", **arrays)
    sheet, changed = tmp_path / "sheet.png", tmp_path / "changed.csv"
    outputs = (f"--sheet={sheet}", f"--changed={changed}")
    process = fork_module(
        "experiments.inspect_data", tmp_path / "set.npz", "--label_noise=0.4", *outputs
    )
    assert process.returncode == 0, process.stderr
    assert "images   60 training, 9 test, 5 x 7" in process.stdout
    assert process.stderr.splitlines()[0].startswith("data: 60 training, 0 validation and 9 test")
    assert "warning: " in process.stderr  # the test images are training images
    assert "9 of 9 test images are also training images" in process.stderr
    # The first image of a class is at the left, on the sheet as in the data.
    clean = data.load(data_dir=tmp_path / "set.npz", train_size=60, validation_size=0).train
    noisy = data.load(
        data_dir=tmp_path / "set.npz", train_size=60, validation_size=0, label_noise=0.4
    ).train
    first = noisy.images[noisy.labels == 1][0]
    np.testing.assert_array_equal(np.asarray(Image.open(sheet))[6:11, :7], first)
    rows = csv.DictReader(changed.read_text().splitlines())
    listed = {int(row["image"]): (int(row["label"]), int(row["changed_to"])) for row in rows}
    differing = np.flatnonzero(clean.labels != noisy.labels)
    assert listed == {i: (clean.labels[i], noisy.labels[i]) for i in differing.tolist()}


def test_a_path_that_is_not_there_is_one_line(fork_module, assert_one_line_error):
    assert_one_line_error(fork_module("experiments.inspect_data", "/no/such"), "no such folder")
