"""`python -m experiments.sweep` as a user runs it, killed and resumed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import digits_jax
from digits_jax import export, findings
from digits_jax import results as results_of
from digits_jax.reports import sweep_figures
from digits_jax.runs import directories, reading
from digits_jax.statistics import describe
from experiments.sweeping import figures, summary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(tmp_path, write_idx_folder, tiny_split):
    """Flags of a sweep over 2 x 2 settings, two programs, of small runs."""
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    return (
        f"--data_dir={folder}",
        "--train_size=40",
        "--validation_size=20",
        "--epochs=2",
        "--vary=learning_rate=0.1,1",
        "--vary=hidden=4,6x5",
        "--seeds=5",
        "--chunk=1",
        "--cpu_devices=2",
    )


def rows(workdir, name="results.csv"):
    with open(workdir / name, newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(table):
    return sorted(
        (tuple(value for name, value in row.items() if name != "seconds") for row in table),
        key=lambda row: int(row[0]),
    )


def test_a_sweep_trains_every_setting_with_every_seed(run_module, tmp_path, quick):
    process = run_module("experiments.sweep", *quick, f"--workdir={tmp_path / 'sweep'}")
    assert process.returncode == 0, process.stderr
    assert all(line.startswith(("data: ", "warning: ")) for line in process.stderr.splitlines())
    results = rows(tmp_path / "sweep")
    settings = {(row["learning_rate"], row["hidden"], row["seed"]) for row in results}
    assert settings == {
        (rate, hidden, str(seed))
        for rate in ("0.1", "1.0")
        for hidden in ("4", "6x5")
        for seed in range(5)
    }
    assert len(results) == 20
    summary = rows(tmp_path / "sweep", "summary.csv")
    assert [row["n"] for row in summary] == ["5"] * 4
    best = max(summary, key=lambda row: float(row["validation_accuracy_mean"]))
    assert [row["best"] for row in summary].count("True") == 1
    assert best["best"] == "True"
    pictures = {path.name for path in (tmp_path / "sweep").glob("*.png")}
    assert pictures == {
        *("distribution.png", "against-learning_rate.png", "heat-map.png", "differences.png")
    }

    # The verdict is what the statistics of the library make of the rows; no other is recommended.
    told = json.loads((tmp_path / "sweep" / "verdict.json").read_text())
    columns = digits_jax.load_runs(tmp_path / "sweep")
    groups = results_of.group(columns, ("learning_rate", "hidden"))
    names = [f"learning_rate={rate:g} hidden={hidden}" for rate, hidden in groups]
    found = digits_jax.verdict(*groups.values(), names=names, column="validation_accuracy")
    assert told["sentence"].startswith(found.sentence)
    assert f"verdict  {found.sentence}" in process.stdout
    assert told["known"] == found.known == (best["recommended"] == "True")

    # curves.csv has a line for each epoch of each run; the last are those of results.csv.
    curves = rows(tmp_path / "sweep", "curves.csv")
    assert len(curves) == 20 * 2
    last = {row["run"]: row["train_loss"] for row in curves if row["epoch"] == "2"}
    for row in results:
        assert float(last[row["run"]]) == pytest.approx(float(row["train_loss"]), rel=1e-5)

    # The best setting's best seed by validation is there as a run: the one that train makes.
    rate, hidden = float(best["learning_rate"]), best["hidden"]
    chosen = [r for r in results if float(r["learning_rate"]) == rate and r["hidden"] == hidden]
    expected = max(chosen, key=lambda row: float(row["validation_accuracy"]))
    run = tmp_path / "sweep" / "best"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["seed"] == int(expected["seed"])
    assert summary["test_errors"] == int(expected["test_errors"])
    again = (f"--flagfile={run / 'flags.txt'}", f"--workdir={tmp_path / 'again'}")
    assert run_module("experiments.train", *again).returncode == 0
    model = (tmp_path / "sweep" / "best.safetensors").read_bytes()
    assert model == (tmp_path / "again" / "model.safetensors").read_bytes()
    assert reading.read(tmp_path / "sweep").name == "sweep-best"
    assert export.read(tmp_path / "sweep").content == model


@pytest.mark.slow
def test_an_overwritten_sweep_stays_until_the_new_one_is_finished(start_module, tmp_path, quick):
    run = tmp_path / "sweep"
    flags = (*quick, "--seeds=2", f"--workdir={run}", "--overwrite")
    assert start_module("experiments.sweep", *flags).wait(120) == 0
    old = {name: (run / name).read_bytes() for name in ("results.csv", "best.safetensors")}
    longer = start_module("experiments.sweep", *flags, "--epochs=999", "--seeds=99")
    deadline = time.monotonic() + 60
    while not (run / "unfinished" / "results.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    longer.send_signal(signal.SIGTERM)
    assert longer.wait(120) == 143
    assert reading.read(run).name == "sweep-best"
    for name, content in old.items():
        assert (run / name).read_bytes() == content
    assert start_module("experiments.sweep", *flags).wait(120) == 0
    assert not (run / "unfinished").exists()
    assert rows(run, "summary.csv")


def test_a_folder_that_is_called_best_is_left_alone(
    fork_module, assert_one_line_error, tmp_path, quick
):
    (tmp_path / "best").mkdir()
    refused = fork_module("experiments.sweep", *quick, "--overwrite", f"--workdir={tmp_path}")
    assert_one_line_error(refused, "holds best and no sweep: choose another")
    assert (tmp_path / "best").is_dir()


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(run_module, tmp_path, quick):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_module("experiments.sweep", *quick, f"--workdir={whole}").returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", *quick, f"--workdir={killed}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (killed / "results.csv").exists() or len(rows(killed)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = rows(killed)
    assert 2 <= len(done) < 20
    # As if it had been killed within a line.
    with open(killed / "results.csv", "a") as file:
        file.write("19,1.0,6x")

    resumed = run_module("experiments.sweep", "--resume", "--cpu_devices=2", f"--workdir={killed}")
    assert resumed.returncode == 0, resumed.stderr
    assert without_seconds(rows(killed)) == without_seconds(rows(whole))
    assert rows(killed)[: len(done)] == done

    with directories.locked(killed):
        refused = run_module("experiments.sweep", "--resume", f"--workdir={killed}")
    assert refused.returncode == 1
    assert "another run is writing into" in refused.stderr

    # The same command once more, and one that contradicts.
    again = run_module("experiments.sweep", *quick, "--resume", f"--workdir={killed}")
    assert again.returncode == 0, again.stderr
    other = run_module("experiments.sweep", *quick, "--resume", "--epochs=9", f"--workdir={killed}")
    assert other.returncode == 1
    assert other.stderr.startswith("error: ")
    assert "--epochs=9 contradicts --epochs=2 of the sweep" in other.stderr
    assert len(other.stderr.splitlines()) == 1


def test_rows_of_another_sweep_are_refused(fork_module, assert_one_line_error, tmp_path, quick):
    run = tmp_path / "sweep"
    quick = (*quick, "--vary=loss=quadratic", "--seeds=1")
    assert fork_module("experiments.sweep", *quick, f"--workdir={run}").returncode == 0
    results, flags = run / "results.csv", run / "flags.txt"
    rows_before, flags_before = results.read_bytes(), flags.read_bytes()
    header, first, *_ = rows_before.splitlines(keepends=True)

    def refused(message, rows=rows_before, flags_now=flags_before):
        results.write_bytes(rows)
        flags.write_bytes(flags_now)
        process = fork_module("experiments.sweep", "--resume", f"--workdir={run}")
        assert_one_line_error(process, message)
        assert results.read_bytes() == rows

    refused("its settings is", flags_now=flags_before.replace(b"--epochs=2", b"--epochs=3"))
    refused("its columns are not", flags_now=flags_before.replace(b"--vary=hidden=4,6x5\n", b""))
    refused("run 0 is there twice", header + first + first)
    refused("line 3 is damaged", header + first + b"junk\n")
    refused("line 2 is damaged", header + first.replace(b"0,", b"9,", 1))
    refused("its columns are not", b"\xef\xbb\xbf" + rows_before)
    refused("its columns are not", os.urandom(99) + b"\n")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_sweep_says_how_to_go_on(start_module, run_module, tmp_path, quick, number):
    longer, run = (*quick, "--epochs=400", "--batch_size=1"), tmp_path / "sweep"
    process = start_module("experiments.sweep", *longer, f"--workdir={run}")
    deadline = time.monotonic() + 60
    while not (run / "results.csv").exists() or len(rows(run)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    done = len(rows(run))
    assert 2 <= done < 20
    command = f"python -m experiments.sweep --resume --workdir={run}"
    assert out == f"stopped after {done} of 20 runs; to go on: {command}\n"
    assert all(line.startswith(("data: ", "warning: ")) for line in err.splitlines())
    assert process.returncode == 128 + number
    resumed = run_module("experiments.sweep", *command.split()[3:], "--cpu_devices=2")
    assert resumed.returncode == 0, resumed.stderr
    assert len(rows(run)) == 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--vary=colour=red"], "vary=colour=red: expected FIELD=VALUES with a field among"),
        (["--vary=learning_rate=1,fast"], "vary=learning_rate=1,fast: 'fast' is not a number"),
        (["--vary=learning_rate=-1"], "learning_rate=-1.0: must be"),
        (["--vary=batch_size=10,20000"], "batch_size=20000 is larger than train_size"),
        (["--vary=hidden=3", "--vary=hidden=4"], "hidden is varied twice"),
        (["--seeds=0"], "--seeds=0"),
        (["--seeds=99999999999"], "99999999999 runs; a sweep has at most 1000000"),
        (["--cpu_devices=100000"], "cpu_devices=100000: expected auto, or an integer"),
        (["--chunk=big"], "chunk=big: expected auto or an integer"),
        (["--cpu_devices=0"], "cpu_devices=0: expected auto, or an integer"),
        (["--resume"], "holds no sweep to resume"),
        (["--shards=2"], "shards=2: a sweep gives every device runs of its own: type --shards=1"),
        (["--vary=shards=1,2"], "vary=shards=1,2: expected FIELD=VALUES with a field among"),
    ],
)
def test_a_mistake_gives_one_line_before_anything_runs(
    fork_module, assert_one_line_error, tmp_path, given, message
):
    process = fork_module("experiments.sweep", *given, f"--workdir={tmp_path / 'sweep'}")
    assert_one_line_error(process, message)
    assert not (tmp_path / "sweep").exists()


def test_the_confidence_interval_is_students():
    # Student's own example: the extra hours of sleep of ten patients (Biometrika, 1908).
    hours = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    described = describe(hours)
    assert described["mean"] == pytest.approx(2.33)
    assert described["std"] == pytest.approx(2.002, abs=1e-3)
    assert described["ci95"] == pytest.approx(2.262 * 2.002 / 10**0.5, abs=1e-3)


def table(varied, accuracies, **figures):
    """A sweep's runs: a setting a row of `accuracies`, a seed a column; values of varied fields."""
    accuracies = np.asarray(accuracies, float)
    settings, seeds = accuracies.shape
    one = np.ones(accuracies.size)
    columns = {"run": np.arange(one.size), "seed": np.tile(np.arange(seeds), settings)}
    columns |= {name: np.repeat(values, seeds) for name, values in varied.items()}
    columns |= {"validation_accuracy": accuracies.ravel(), "test_accuracy": accuracies.ravel()}
    columns |= dict.fromkeys(("train_loss", "validation_loss", "test_loss", "seconds"), one)
    columns["test_loss"] = one * accuracies.ravel()
    columns |= {"test_errors": one, "patience": 0 * one, "epochs": one, "trained_epochs": one}
    return columns | {name: np.repeat(values, seeds) for name, values in figures.items()}


GOOD, NEAR, BAD = [0.9, 0.91, 0.92], [0.901, 0.906, 0.921], [0.5, 0.52, 0.51]


def test_nothing_is_recommended_before_it_is_known_and_edges_are_named():
    columns = table(
        {"optimizer": ["sgd"] * 3 + ["adam"] * 3, "learning_rate": [1.0, 2, 3] * 2},
        [BAD, GOOD, BAD, BAD, BAD, NEAR],
    )
    found = findings.find(columns, ["optimizer", "learning_rate"], ["optimizer"])
    assert not found.verdict.known
    assert not any(entry["recommended"] for entry in found.settings)
    assert [entry["best"] for entry in found.settings] == [False, True, False, False, False, False]
    assert found.sentence.startswith("nothing is known about sgd and adam: sgd is ahead by")
    assert found.remarks[:2] == [
        "each at its best: sgd with learning_rate=2, adam with learning_rate=3",
        "adam's best learning_rate, 3, lies at the upper edge of its range (1 to 3): widen it",
    ]
    found = findings.find(columns, ["optimizer", "learning_rate"], ["optimizer", "learning_rate"])
    assert sum(entry["beaten"] for entry in found.settings) == 4


def test_a_setting_that_is_known_to_be_best_is_recommended():
    columns = table({"optimizer": ["sgd", "adam"]}, [GOOD, BAD])
    found = findings.find(columns, ["optimizer"], ["optimizer"])
    assert found.sentence.startswith("sgd beats adam by 40.00 points")
    assert [entry["recommended"] for entry in found.settings] == [True, False]
    assert "recommended: best by validation" in "\n".join(summary.as_text(found))


def test_where_some_runs_have_no_validation_images_figures_show_the_test_split():
    columns = table({"validation_size": [0, 10]}, [GOOD, NEAR])
    columns["validation_accuracy"][:3] = np.nan
    found = findings.find(columns, ["validation_size"], ["validation_size"])
    drawn = figures.draw(found)
    assert set(drawn) == {"distribution.png", "against-validation_size.png", "differences.png"}
    assert "without validation images nothing is recommended" in found.sentence
    assert not any(entry["best"] or entry["recommended"] for entry in found.settings)


def test_what_diverged_is_not_compared_and_what_has_no_effect_is_named():
    columns = table(
        {"momentum": [0.1, 0.5, 0.9]}, [GOOD, GOOD, NEAR], train_loss=[0.3, 0.3, np.nan]
    )
    found = findings.find(columns, ["momentum"], ["momentum"])
    text = "\n".join(summary.as_text(found))
    assert "momentum=0.9  the loss of 3 is not finite" in text
    assert "no difference between momentum=0.1, momentum=0.5" in found.remarks
    assert (
        found.verdict.sentence
        == "nothing is known: momentum=0.1 and momentum=0.5 gave the same figures"
    )


def test_what_halving_left_out_is_said():
    columns = table({"momentum": [0.1, 0.5, 0.9]}, [GOOD, NEAR, GOOD], trained_epochs=[1, 3, 1])
    found = findings.find(columns | {"epochs": 0 * columns["run"] + 3}, ["momentum"], ["momentum"])
    assert "halving left out 2 of 3 settings: 2 after epoch 1" in found.remarks
    assert [entry["best"] for entry in found.settings] == [False, False, False]


def test_a_heat_map_holds_the_mean_of_every_pair():
    settings = [
        {"a": a, "b": b, "validation_accuracy_mean": mean}
        for a, b, mean in [("1", "x", 0.5), ("1", "y", 0.6), ("2", "x", 0.7), ("2", "y", 0.8)]
    ]
    axes, _ = sweep_figures.heat_map(settings, ["a", "b"], "validation").axes
    written = [(text.get_position(), text.get_text()) for text in axes.texts]
    assert written == [((0, 0), "50.00"), ((1, 0), "60.00"), ((0, 1), "70.00"), ((1, 1), "80.00")]


def test_curves_against_a_number_are_means_over_seeds():
    settings = [
        {
            "rate": rate,
            "hidden": hidden,
            "n": 3,
            "validation_accuracy_mean": mean,
            "validation_accuracy_ci95": 0.01,
        }
        for rate, hidden, mean in [(1.0, "4", 0.5), (0.01, "4", 0.6), (1.0, "8", 0.7)]
    ]
    (axes,) = sweep_figures.against(settings, "rate", ["rate", "hidden"], "validation").axes
    drawn = [[[x, 100 * y] for x, y in line.get_xydata().tolist()] for line in axes.lines]
    assert drawn == [[[0.01, 60.0], [1.0, 50.0]], [[1.0, 70.0]]]
    assert axes.get_xscale() == "log"


def test_a_halved_sweep_is_finished_after_a_kill_between_rows(fork_module, tmp_path, quick):
    flags = (*quick[:4], "--vary=learning_rate=0.001,0.1,1", "--seeds=2", "--cpu_devices=2")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    halved = (*flags, "--halving=2", "--gradient_norms", "--validation_curves")
    process = fork_module("experiments.sweep", *halved, f"--workdir={whole}")
    assert process.returncode == 0, process.stderr
    assert "halving left out 1 of 3 settings: 1 after epoch 1" in process.stdout
    shutil.copytree(whole, cut)
    (cut / "summary.csv").unlink()
    header, *lines = (cut / "results.csv").read_text().splitlines(keepends=True)
    (cut / "results.csv").write_text("".join([header, lines[0], lines[-1]]))
    process = fork_module("experiments.sweep", "--resume", f"--workdir={cut}")
    assert process.returncode == 0, process.stderr
    assert without_seconds(rows(cut)) == without_seconds(rows(whole))
    key = lambda row: (int(row["run"]), int(row["epoch"]))  # noqa: E731
    curves = [sorted(rows(run, "curves.csv"), key=key) for run in (cut, whole)]
    assert curves[0] == curves[1]
    assert [len(row["gradient_norms"].split()) for row in curves[0]] == [2] * len(curves[0])
    assert all(row["validation_loss"] for row in curves[0])
