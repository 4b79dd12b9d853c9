"""A run in its directory: the files, the numbers in them, and one compilation."""

import csv
import json
import logging

import jax
import numpy as np
import pytest

from digits_jax import Config, Dataset, Splits, export, make_model, runs
from digits_jax.evaluation import make_evaluate
from digits_jax.losses import LOSSES

CONFIG = Config(train_size=60, validation_size=15, hidden=(8,), epochs=4, learning_rate=1.0)


@pytest.fixture
def splits(tiny_split):
    def dataset(count, seed):
        images, labels = tiny_split(count, seed=seed)
        return Dataset(images, labels.astype(np.int32))

    return Splits(dataset(60, 0), dataset(15, 1), dataset(21, 2), num_classes=3)


def read_metrics(directory):
    with open(directory / runs.METRICS_FILE, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_metrics_summary_and_model(tmp_path, splits):
    rows = []
    summary = runs.train(CONFIG, splits, tmp_path, rows.append)

    assert json.loads((tmp_path / runs.SUMMARY_FILE).read_text()) == json.loads(json.dumps(summary))
    metrics = read_metrics(tmp_path)
    assert [row["epoch"] for row in metrics] == ["1", "2", "3", "4"]
    assert [int(row["step"]) for row in metrics] == [6, 12, 18, 24]
    assert [float(row["validation_loss"]) for row in metrics] == [
        row.validation_loss for row in rows
    ]
    assert float(metrics[-1]["train_loss"]) < float(metrics[0]["train_loss"])

    model = export.load(tmp_path / runs.MODEL_FILE)
    network = make_model(model.config, model.image_shape, model.num_classes)
    evaluate = jax.jit(make_evaluate(network, LOSSES["quadratic"]))
    assert evaluate(model.params, splits.test).errors == summary["test_errors"]
    assert summary["test_accuracy"] == (21 - summary["test_errors"]) / 21
    assert float(metrics[-1]["validation_loss"]) == pytest.approx(
        float(evaluate(model.params, splits.validation).loss), rel=1e-5
    )
    assert summary["test_size"] == 21
    assert summary["parameters"] == 35 * 8 + 8 + 8 * 3 + 3
    assert summary["steps"] == 24


def test_two_runs_give_the_same_bytes(tmp_path, splits):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.train(CONFIG, splits, tmp_path / name)
    one, two = ((tmp_path / name / runs.MODEL_FILE).read_bytes() for name in ("one", "two"))
    assert one == two


def test_without_validation_images_their_columns_are_empty(tmp_path, splits):
    nothing = Dataset(splits.train.images[:0], splits.train.labels[:0])
    runs.train(CONFIG, splits._replace(validation=nothing), tmp_path)
    assert {row["validation_accuracy"] for row in read_metrics(tmp_path)} == {""}


def test_nothing_is_compiled_after_the_first_epoch(tmp_path, splits, caplog):
    compilations = []

    def count(row):
        compilations.append(sum("Compiling" in record.getMessage() for record in caplog.records))

    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        runs.train(CONFIG, splits, tmp_path, count)
    assert compilations[0] > 0
    assert len(set(compilations)) == 1


def test_nothing_is_sent_to_the_device_inside_the_loop(tmp_path, splits):
    # Transfers by jax.device_put and jax.device_get are explicit; 'disallow' forbids all others.
    with jax.transfer_guard("disallow"):
        runs.train(CONFIG, splits, tmp_path)


def test_a_loss_that_diverges_stops_the_run(tmp_path, splits):
    config = Config(
        train_size=60,
        validation_size=15,
        activation="relu",
        loss="cross_entropy",
        learning_rate=1e38,
        epochs=4,
    )
    with pytest.raises(runs.Diverged, match=r"train_loss became (nan|inf) in epoch 1"):
        runs.train(config, splits, tmp_path)
    assert len(read_metrics(tmp_path)) == 1
    assert not (tmp_path / runs.MODEL_FILE).exists()
    assert not (tmp_path / runs.SUMMARY_FILE).exists()


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        runs.prepare_directory(tmp_path, overwrite=False)


def test_overwriting_removes_the_files_of_a_run_and_nothing_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / runs.SUMMARY_FILE).write_text("{}")
    runs.prepare_directory(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_a_directory(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match="is not a folder"):
        runs.prepare_directory(path, overwrite=True)
