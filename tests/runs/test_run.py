"""A run in its directory: the files, the numbers in them, and one compilation."""

import contextlib
import csv
import dataclasses
import itertools
import json
import logging
import re

import jax
import numpy as np
import pytest

from digits_jax import Config, Dataset, make_model, runs
from digits_jax.evaluation import make_evaluate
from digits_jax.losses import LOSSES
from digits_jax.runs import directories, flags_file, identity, model_file, run

CONFIG = Config(train_size=60, validation_size=15, hidden=(8,), epochs=4, learning_rate=1.0)
# What it computes may grow until it is infinite.
UNBOUNDED = Config(
    train_size=60, validation_size=15, activation="relu", loss="cross_entropy", epochs=4
)


def read_metrics(directory):
    with open(directory / runs.METRICS_FILE, newline="") as file:
        return list(csv.DictReader(file))


def observing(see):
    """An observer that is handed the row of each epoch."""
    return contextlib.nullcontext(lambda epoch: see(epoch.row))


def test_a_run_leaves_metrics_summary_and_model(tmp_path, splits):
    rows = []
    trained = runs.train(CONFIG, splits, tmp_path, [observing(rows.append)])
    summary = runs.write_summary(tmp_path, trained, splits)

    assert json.loads((tmp_path / runs.SUMMARY_FILE).read_text()) == json.loads(json.dumps(summary))
    metrics = read_metrics(tmp_path)
    assert [row["epoch"] for row in metrics] == ["1", "2", "3", "4"]
    assert [int(row["step"]) for row in metrics] == [6, 12, 18, 24]
    assert [float(row["validation_loss"]) for row in metrics] == [
        row.validation_loss for row in rows
    ]
    assert float(metrics[-1]["train_loss"]) < float(metrics[0]["train_loss"])

    model = model_file.load(tmp_path / runs.MODEL_FILE)
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
        runs.train(CONFIG, splits, tmp_path, [observing(count)])
    assert compilations[0] > 0
    assert len(set(compilations)) == 1


def test_nothing_is_sent_to_the_device_inside_the_loop(tmp_path, splits):
    # Transfers by jax.device_put and jax.device_get are explicit; 'disallow' forbids all others.
    with jax.transfer_guard("disallow"):
        runs.train(CONFIG, splits, tmp_path)


def test_a_loss_that_diverges_stops_the_run(tmp_path, splits):
    config = dataclasses.replace(UNBOUNDED, learning_rate=1e38)
    with pytest.raises(runs.Diverged, match=r"train_loss became (nan|inf) in epoch 1"):
        runs.train(config, splits, tmp_path)
    assert len(read_metrics(tmp_path)) == 1
    assert not (tmp_path / runs.MODEL_FILE).exists()
    assert not (tmp_path / runs.SUMMARY_FILE).exists()


@pytest.mark.parametrize(
    "judged",
    [
        {},
        {"judge": "best", "patience": 4, "average": 0.5, "epochs": 30},
        pytest.param({"gradients": "feedback_alignment"}, marks=pytest.mark.slow),
        pytest.param({"gradients": "evolution", "directions": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_after_every_epoch_is_the_unbroken_run(tmp_path, splits, monkeypatch, judged):
    settings = {"optimizer": "adamw", "schedule": "warmup_cosine", "learning_rate": 0.01}
    config = dataclasses.replace(CONFIG, clip_norm=1.0, **settings | judged)
    programs = run.compile_programs(config, splits)
    monkeypatch.setattr(run, "compile_programs", lambda *args, **options: programs)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    for directory in (unbroken, broken):
        directory.mkdir()
    last = runs.train(config, splits, unbroken).rows[-1].epoch
    assert 4 <= last < 30
    for epoch in range(1, last):
        checkpoint, damaged = runs.restore(config, splits, broken)
        assert damaged == []
        asked = itertools.count(-1)  # before compilation, before the first epoch, after it
        with pytest.raises(runs.Stopped) as stopped:
            runs.train(
                config,
                splits,
                broken,
                checkpoint=checkpoint,
                should_stop=lambda asked=asked: next(asked) > 0,
            )
        assert stopped.value.epoch == epoch
        assert len(read_metrics(broken)) == epoch
    checkpoint, _ = runs.restore(config, splits, broken)
    for _ in range(2):  # a checkpoint can be used twice
        assert len(checkpoint.rows) == last - 1
        trained = runs.train(config, splits, broken, checkpoint=checkpoint)
    models = [(directory / runs.MODEL_FILE).read_bytes() for directory in (unbroken, broken)]
    assert models[0] == models[1]
    columns = [name for name in runs.Row._fields if name != "seconds"]
    tables = [
        [[row[name] for name in columns] for row in read_metrics(directory)]
        for directory in (unbroken, broken)
    ]
    assert tables[0] == tables[1]
    seconds = sum(float(row["seconds"]) for row in read_metrics(broken))
    summary = runs.write_summary(broken, trained, splits)
    assert summary["train_seconds"] == pytest.approx(seconds, abs=1e-4)
    assert summary["epochs"] == last
    errors = [float(row["validation_accuracy"]) for row in read_metrics(broken)]
    first = errors.index(max(errors)) + 1
    told = f"after epoch {first} of {last}, which" if "judge" in judged else f"after epoch {last}"
    assert told in summary["judged"]


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(tmp_path, splits):
    # Each step multiplies all weights by about 1 - learning_rate * weight_decay = -9.
    config = dataclasses.replace(UNBOUNDED, learning_rate=1.0, weight_decay=10.0, epochs=20)
    with pytest.raises(runs.Diverged) as diverged:
        runs.train(config, splits, tmp_path, checkpoint_seconds=1e-9)
    epoch = int(re.search(r"became (nan|inf) in epoch (\d+)", str(diverged.value))[2])
    assert epoch > 2
    checkpoint, damaged = runs.restore(config, splits, tmp_path)
    assert damaged == []
    assert len(checkpoint.rows) == epoch - 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(checkpoint.state.params))
    with pytest.raises(ValueError, match=f"is at epoch {epoch - 1} of 1"):
        runs.restore(dataclasses.replace(config, epochs=1), splits, tmp_path)


def test_parameters_that_are_not_finite_are_not_saved(tmp_path, splits):
    # One step an epoch: its loss is from before the step that breaks the parameters.
    config = Config(
        train_size=60,
        batch_size=60,
        activation="relu",
        loss="cross_entropy",
        learning_rate=3e38,
        init_scale=9.0,
    )
    nothing = Dataset(splits.train.images[:0], splits.train.labels[:0])
    with pytest.raises(runs.Diverged, match="a parameter became nan or inf in epoch 1"):
        runs.train(config, splits._replace(validation=nothing), tmp_path, checkpoint_seconds=1e-9)
    assert not (tmp_path / runs.CHECKPOINTS).exists()


def test_a_run_is_finished_with_the_summary_of_its_config(tmp_path):
    assert not runs.is_finished(CONFIG, tmp_path)
    path = tmp_path / runs.SUMMARY_FILE
    path.write_text(json.dumps({"config": dataclasses.asdict(CONFIG)}))
    assert runs.is_finished(CONFIG, tmp_path)
    assert not runs.is_finished(dataclasses.replace(CONFIG, epochs=5), tmp_path)
    path.write_text(path.read_text()[:20])
    assert not runs.is_finished(CONFIG, tmp_path)


def test_overwriting_removes_the_files_of_a_run_and_nothing_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for name in (runs.FLAGS_FILE, runs.IDENTITY_FILE, runs.METRICS_FILE, runs.MODEL_FILE):
        (tmp_path / name).touch()
    (tmp_path / "events.out.tfevents.1.host").touch()
    for folder in (runs.CHECKPOINTS, runs.PROFILE):
        (tmp_path / folder / "1").mkdir(parents=True)
    assert directories.renew(tmp_path, overwrite=True) == tmp_path  # it was not finished
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_no_run_has_written_is_not_removed(tmp_path):
    for name in (runs.CHECKPOINTS, runs.PROFILE, runs.BEST, directories.UNFINISHED):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").touch()
    directories.renew(tmp_path, overwrite=True)
    assert len(list(tmp_path.glob("*/thesis.tex"))) == 4


def test_a_finished_run_is_kept_until_the_one_that_replaces_it_is(tmp_path, splits):
    def train(config):
        folder = directories.renew(tmp_path, overwrite=True)
        runs.begin(config, splits, folder, flags_file.of_config(config))
        runs.write_summary(folder, runs.train(config, splits, folder), splits)

    def files_in(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    train(CONFIG)
    first = files_in(tmp_path)
    for _ in range(2):  # also where the one that fails is overwritten
        with pytest.raises(runs.Diverged):
            train(dataclasses.replace(UNBOUNDED, learning_rate=1e38))
        assert files_in(tmp_path) == first
        assert directories.under_way(tmp_path) == tmp_path / directories.UNFINISHED
    train(dataclasses.replace(CONFIG, seed=3))
    second = files_in(tmp_path)
    assert second.keys() == first.keys()
    assert json.loads(second[runs.SUMMARY_FILE])["seed"] == 3
    assert model_file.load(tmp_path / runs.MODEL_FILE).config.seed == 3
    assert not (tmp_path / directories.UNFINISHED).exists()
    assert directories.under_way(tmp_path) == tmp_path


def test_a_link_in_place_of_checkpoints_is_removed_and_what_it_names_is_not(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / runs.FLAGS_FILE).touch()
    (tmp_path / "run" / runs.CHECKPOINTS).symlink_to(theirs)
    (tmp_path / "run" / runs.PROFILE).symlink_to(tmp_path / "nowhere")
    directories.renew(tmp_path / "run", overwrite=True)
    assert theirs.is_dir()
    assert not any((tmp_path / "run").iterdir())


def test_a_run_goes_on_only_with_what_it_began_with(tmp_path, splits, monkeypatch):
    """Before its first checkpoint as well."""
    runs.begin(CONFIG, splits, tmp_path, flags_file.of_config(CONFIG))
    assert runs.restore(CONFIG, splits, tmp_path) == (None, [])
    assert runs.restore(dataclasses.replace(CONFIG, epochs=9), splits, tmp_path) == (None, [])
    with pytest.raises(ValueError, match="of another run: data is "):
        runs.restore(CONFIG, splits._replace(test=splits.validation), tmp_path)
    with pytest.raises(ValueError, match="of another run: seed is 0 there, and 1 here"):
        runs.restore(dataclasses.replace(CONFIG, seed=1), splits, tmp_path)
    with (
        jax.default_matmul_precision("highest"),
        pytest.raises(ValueError, match="numerics is default there, and "),
    ):
        runs.restore(CONFIG, splits, tmp_path)
    monkeypatch.setattr(identity, "versions", lambda: {"jax": "0.99"})
    _, [line] = runs.restore(CONFIG, splits, tmp_path)
    assert re.match(r"the run began with versions .*jax 0.*, and goes on with jax 0.99: ", line)
    path = tmp_path / runs.IDENTITY_FILE
    for damage in ("", "[]", path.read_text()[:-9], "[" * 100_000):
        path.write_text(damage)
        with pytest.raises(ValueError, match=r"identity.json: damaged: [^\n]*$"):
            runs.restore(CONFIG, splits, tmp_path)
