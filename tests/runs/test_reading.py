"""Runs read back: what comes back, how runs are grouped, and what a damaged run gets."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_jax import Config, data, runs
from digits_jax.evaluation import make_evaluate
from digits_jax.losses import LOSSES
from digits_jax.runs import model_file, reading
from digits_jax.training import make_model


@pytest.fixture(scope="module")
def directory(tmp_path_factory, write_idx_folder, tiny_split, train_run):
    folder = tmp_path_factory.mktemp("results")
    write_idx_folder(folder / "data", tiny_split(40), tiny_split(24, seed=1))
    size = {"data_dir": str(folder / "data"), "train_size": 30, "validation_size": 0}
    return train_run(folder / "run", **size, hidden=("6",), epochs=2, learning_rate=0.01)


@pytest.fixture(scope="module")
def run(directory):
    return reading.read(directory)


@pytest.fixture
def copy(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "run")


def test_a_run_comes_back(run, directory):
    assert run.config == run.model.config
    assert run.config.hidden == ("6",)
    assert run.summary == json.loads((directory / runs.SUMMARY_FILE).read_text())
    assert [row.epoch for row in run.rows] == [1, 2]
    assert run.rows[1].step == 6
    assert run.rows[0].validation_loss is None
    assert run.rows[0].train_loss > run.rows[1].train_loss


def test_predictions_are_what_evaluation_counts(run):
    config = run.config
    splits = data.load(config.dataset, config.data_dir, config.train_size, 0)
    predictions = reading.predict(run.model, splits.test)
    network = make_model(config, run.model.image_shape, run.model.num_classes)
    metrics = jax.jit(make_evaluate(network, LOSSES[config.loss]))(run.model.params, splits.test)
    labels, predicted = predictions.labels, predictions.predicted
    for (label, taken), count in np.ndenumerate(metrics.confusion):
        assert np.sum((labels == label) & (predicted == taken)) == count
    assert np.sum(~predictions.correct) == metrics.errors == run.summary["test_errors"]
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(predictions.confidence, predictions.probabilities.max(axis=1))


def test_runs_that_differ_only_in_their_seed_are_a_group(run):
    def like(**settings):
        return run._replace(config=dataclasses.replace(run.config, **settings))

    given = [like(seed=3), like(batch_size=5), like(seed=1), like(seed=3), like(batch_size=5)]
    one, two = reading.group(given)
    assert [member.config.seed for member in one.runs] == [3, 1]
    assert [member.config.seed for member in one.repeats] == [3]
    assert (len(two.runs), len(two.repeats)) == (1, 1)
    assert (one.label, two.label) == ("batch_size=10", "batch_size=5")


def test_labels_of_groups_are_short(run):
    assert [group.label for group in reading.group([run])] == [""]
    summary = run.summary | {"numerics": "jax_enable_x64=True"}
    labels = [group.label for group in reading.group([run, run._replace(summary=summary)])]
    assert labels == ["numerics=default", "numerics=jax_enable_x64=True"]
    other = Config(data_dir="/a/folder/far/away/from/here", hidden=(), seed=9)
    far = run._replace(config=other, name="far")
    labels = [group.label for group in reading.group([run, far, far._replace(name="again")])]
    assert labels == ["run", "far"]


def test_runs_of_one_name_are_told_apart_by_number(directory, copy):
    assert [run.name for run in reading.read_all([copy])] == ["run"]
    assert [run.name for run in reading.read_all([directory, str(copy)])] == ["1-run", "2-run"]


def test_settings_are_written_as_flags_are(run):
    configs = Config(hidden=("128", "64")), Config(seed=5, hidden=()), Config(epochs=1)
    different, same = reading.settings([run._replace(config=config) for config in configs])
    assert different == {"hidden": ["128,64", "none", "30"], "epochs": ["30", "30", "1"]}
    assert (same["data_dir"], same["learning_rate"]) == ("none", "3.0")
    assert list(same)[:4] == ["dataset", "data_dir", "train_size", "validation_size"]
    names = {field.name for field in dataclasses.fields(Config)}
    assert {*different, *same, "seed"} == names | {"data", "numerics"}
    assert same["data"] == run.model.data[:12]
    assert not different.keys() & same.keys()


def test_a_model_for_other_images_is_refused(run):
    with pytest.raises(
        ValueError,
        match=r"for images of 5 x 7 pixels in 3 classes, the data now hold 28 x 28 .* 10",
    ):
        reading.check_data(run, data.load())


@pytest.mark.parametrize("name", [runs.SUMMARY_FILE, runs.METRICS_FILE, runs.MODEL_FILE])
def test_an_unfinished_run_is_refused(copy, name):
    (copy / name).unlink()
    with pytest.raises(ValueError, match=f"run: not a finished run: {name} is not there"):
        reading.read(copy)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a run: neither metrics.csv nor summary.json there"):
        reading.read(tmp_path)
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        reading.read(tmp_path / "nowhere")


def test_a_model_of_another_run_is_refused(copy, run):
    config = dataclasses.replace(run.config, seed=1)
    model_file.save(copy / runs.MODEL_FILE, run.model._replace(config=config))
    with pytest.raises(ValueError, match=r"model.safetensors and summary.json are of different"):
        reading.read(copy)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (runs.SUMMARY_FILE, "{", "", "summary.json: damaged"),
        (runs.SUMMARY_FILE, '"test_errors"', '"errors"', "test_errors is None, expected int"),
        (runs.SUMMARY_FILE, '"sgd"', '"sgdd"', "config: optimizer=sgdd: choose one of"),
        (runs.SUMMARY_FILE, '"hidden"', '"hiden"', "config: "),
        (runs.METRICS_FILE, "epoch", "epoche", "metrics.csv: damaged: its columns are not epoch"),
        (runs.METRICS_FILE, "1,3,", "1,", "damaged: a line of 7 values instead of 8"),
        (runs.METRICS_FILE, "1,3,", "1,3,x", "damaged: train_loss is 'x0"),
        (runs.METRICS_FILE, "1,3,", "7,3,", "expected a line for each epoch from 1 to 2"),
        (runs.MODEL_FILE, "sha256", "sha257", "model.safetensors"),
    ],
)
def test_a_damaged_run_gives_one_line_that_names_the_file(copy, name, old, new, message):
    content = (copy / name).read_bytes()
    assert old.encode() in content
    (copy / name).write_bytes(content.replace(old.encode(), new.encode(), 1))
    with pytest.raises(ValueError, match=message) as error:
        reading.read(copy)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(copy))


@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_to_the_texts_gives_a_run_or_one_line(directory, tmp_path, data):
    name = data.draw(st.sampled_from([runs.SUMMARY_FILE, runs.METRICS_FILE]))
    copy = shutil.copytree(directory, tmp_path / "run", dirs_exist_ok=True)
    content = bytearray((copy / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    (copy / name).write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        reading.read(copy)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
