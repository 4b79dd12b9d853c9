"""`python -m experiments.predict`: a table of predictions, for images with and without labels."""

import csv

import numpy as np

import digits_jax


def test_images_with_and_without_labels_get_a_class_and_probabilities(
    fork_module, assert_one_line_error, tmp_path, train_run, write_idx_folder, tiny_split
):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    settings = {"data_dir": str(folder), "train_size": 40, "validation_size": 20, "epochs": 3}
    run = train_run(tmp_path / "run", hidden=(8,), learning_rate=1.0, **settings)
    images, labels = tiny_split(12, seed=1)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "both.npz", images=images, labels=labels)

    def predicted(data):
        table = tmp_path / "predictions.csv"
        process = fork_module("experiments.predict", run, data, f"--csv={table}")
        assert process.returncode == 0, process.stderr
        return list(csv.DictReader(table.read_text().splitlines())), process.stdout

    alone, _ = predicted(tmp_path / "images.npy")
    assert list(alone[0]) == ["index", "class", *(f"probability_{k}" for k in range(3))]
    both, told = predicted(tmp_path / "both.npz")
    assert [int(row.pop("label")) for row in both] == labels.tolist()
    assert both == alone
    right = np.mean([int(row["class"]) == label for row, label in zip(both, labels, strict=True)])
    assert f"12 images, {right:.2%} as labelled" in told
    for row in alone:
        shares = [float(row[f"probability_{k}"]) for k in range(3)]
        assert int(row["class"]) == int(np.argmax(shares))

    columns = digits_jax.predict(digits_jax.load_model(run / "model.safetensors"), images)
    assert columns["class"].tolist() == [int(row["class"]) for row in alone]
    np.save(tmp_path / "large.npy", np.zeros((3, 9, 9), np.uint8))
    refused = fork_module("experiments.predict", run, tmp_path / "large.npy")
    assert_one_line_error(refused, "the images are 9 x 9 pixels, and the model takes 5 x 7")
