"""`python -m experiments.sweep` as a user runs it, killed and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digits_jax import export
from digits_jax.runs import directories, reading
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
    assert process.stderr == ""
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
    assert best["recommended"] == "True"
    assert "recommended: best by validation" in process.stdout
    pictures = {path.name for path in (tmp_path / "sweep").glob("*.png")}
    assert pictures == {"distribution.png", "against-learning_rate.png", "heat-map.png"}

    # The best setting's best seed by validation is there as a run: the one that train makes.
    chosen = [row for row in results if all(row[n] == best[n] for n in ("learning_rate", "hidden"))]
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
    assert (out, err) == (f"stopped after {done} of 20 runs; to go on: {command}\n", "")
    assert process.returncode == 128 + number
    resumed = run_module("experiments.sweep", *command.split()[3:], "--cpu_devices=2")
    assert resumed.returncode == 0, resumed.stderr
    assert len(rows(run)) == 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--vary=colour=red"], "vary=colour=red: expected FIELD=VALUES with a field among"),
        (["--vary=learning_rate=1,fast"], "vary=learning_rate=1,fast: 'fast' is no number"),
        (["--vary=learning_rate=-1"], "learning_rate=-1.0: must be"),
        (["--vary=batch_size=10,20000"], "batch_size=20000 is larger than train_size"),
        (["--vary=hidden=3", "--vary=hidden=4"], "hidden is varied twice"),
        (["--seeds=0"], "--seeds=0"),
        (["--seeds=99999999999"], "99999999999 runs, and a sweep has at most 1000000"),
        (["--cpu_devices=100000"], "cpu_devices=100000: expected auto or a whole number"),
        (["--chunk=big"], "chunk=big: expected auto or a whole number"),
        (["--cpu_devices=0"], "cpu_devices=0: expected auto or a whole number"),
        (["--resume"], "holds no sweep to resume"),
        (["--shards=2"], "shards=2: a sweep gives every device runs of its own, shards=1"),
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
    described = summary.describe(hours)
    assert described["mean"] == pytest.approx(2.33)
    assert described["std"] == pytest.approx(2.002, abs=1e-3)
    assert described["ci95"] == pytest.approx(2.262 * 2.002 / 10**0.5, abs=1e-3)


def test_where_some_runs_have_no_validation_images_figures_show_the_test_split():
    rows = [
        {
            "run": str(run),
            "validation_size": size,
            "validation_accuracy": validation,
            "test_accuracy": "0.9",
            "seconds": "1",
        }
        for run, (size, validation) in enumerate([("0", ""), ("0", ""), ("10", "0.8")])
    ]
    table = summary.summarise(rows, ["validation_size"])
    drawn = figures.draw(rows, table, ["validation_size"])
    assert set(drawn) == {"distribution.png", "against-validation_size.png"}
    assert "90.00 +- 0.00 %" in summary.as_text(table, ["validation_size"])


def test_a_setting_that_diverged_is_not_recommended_and_one_without_effect_is_named():
    rows = [
        {
            "run": str(run),
            "momentum": momentum,
            "seed": "0",
            "train_loss": loss,
            "test_loss": "0.1",
            "test_errors": "9",
            "validation_accuracy": validation,
            "test_accuracy": "0.9",
            "seconds": "1",
        }
        for run, (momentum, loss, validation) in enumerate(
            [("0.1", "0.3", "0.8"), ("0.5", "0.3", "0.8"), ("0.9", "nan", "0.9")]
        )
    ]
    table = summary.summarise(rows, ["momentum"])
    assert [entry["recommended"] for entry in table] == [True, True, False]
    text = summary.as_text(table, ["momentum"])
    assert "momentum=0.9  the loss of 1 is not finite" in text
    lines = summary.without_difference(rows, ["momentum"])
    assert lines == ["no difference between momentum=0.1, momentum=0.5"]
    assert summary.tied(table, ["momentum"]) == ["momentum=0.1", "momentum=0.5"]


def test_a_heat_map_holds_the_mean_of_every_pair():
    table = [
        {"a": a, "b": b, "validation_accuracy_mean": mean}
        for a, b, mean in [("1", "x", 0.5), ("1", "y", 0.6), ("2", "x", 0.7), ("2", "y", 0.8)]
    ]
    axes, _ = figures.heat_map(table, ["a", "b"], "validation").axes
    written = [(text.get_position(), text.get_text()) for text in axes.texts]
    assert written == [((0, 0), "50.00"), ((1, 0), "60.00"), ((0, 1), "70.00"), ((1, 1), "80.00")]


def test_curves_against_a_number_are_means_over_seeds():
    table = [
        {
            "rate": rate,
            "hidden": hidden,
            "n": 3,
            "validation_accuracy_mean": mean,
            "validation_accuracy_std": 0.01,
        }
        for rate, hidden, mean in [("1", "4", 0.5), ("0.01", "4", 0.6), ("1", "8", 0.7)]
    ]
    (axes,) = figures.against(table, "rate", ["rate", "hidden"], "validation").axes
    drawn = [container[0].get_xydata().tolist() for container in axes.containers]
    assert drawn == [[[0.01, 60.0], [1.0, 50.0]], [[1.0, 70.0]]]
    assert axes.get_xscale() == "log"


def test_without_validation_no_setting_is_recommended():
    row = {"validation_accuracy": "", "test_accuracy": "0.9", "seconds": "1"}
    table = summary.summarise(
        [{"run": "0", "seed": "0", **row}, {"run": "1", "seed": "1", **row}], []
    )
    assert table[0]["recommended"] is False
    assert table[0]["n"] == 2
