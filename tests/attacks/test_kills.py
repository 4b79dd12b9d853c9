"""Killed at every write, rename, removal and flush: finished results stay, the rest goes on."""

import contextlib
import csv
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digits_jax import runs
from digits_jax.runs import directories, reading
from experiments import sweep, train
from experiments.cli import entries, start
from experiments.cli.flags import FLAGS

ROOT = Path(__file__).parents[2]
DISK = Path(__file__).with_name("disk.py")
disk = SimpleNamespace(**runpy.run_path(DISK))
EVERY = 13  # the fast part kills at every 13th event


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_split):
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 40), ("test", 12)):
        images, labels = tiny_split(count, seed=count)
        np.save(folder / f"{split}_images.npy", images)
        np.save(folder / f"{split}_labels.npy", labels)
    return folder


@pytest.fixture
def call(monkeypatch, data):
    """Calls a script in this process: (module, *flags); programs are compiled once."""
    monkeypatch.setattr(train, "compile_programs", _compile)
    monkeypatch.setattr("digits_jax.runs.run.compile_programs", _compile)
    monkeypatch.setattr(start.compilation_cache, "use", lambda: None)

    def run(module, *flags):
        own = set(FLAGS)
        module.define_flags()
        entries.define()
        try:
            FLAGS(["script", *flags])
            with contextlib.redirect_stdout(io.StringIO()) as out:
                assert module.main() is None
            return out.getvalue()
        finally:
            for name in set(FLAGS) - own:
                delattr(FLAGS, name)

    return run


_programs = {}


def _compile(config, splits, gradient_norms=False):
    key = (config, gradient_norms)
    if key not in _programs:
        _programs[key] = COMPILE(config, splits, gradient_norms)
    return _programs[key]


COMPILE = runs.compile_programs


def results(folder):
    """What a user keeps of a run: bytes by name, without what a clock has written."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.name in (runs.MODEL_FILE, runs.FLAGS_FILE, "best.safetensors"):
            found[name] = path.read_bytes()
        elif path.name in (runs.METRICS_FILE, runs.RESULTS_FILE):
            with open(path, newline="") as file:
                rows = [
                    {n: v for n, v in row.items() if n != "seconds"} for row in csv.DictReader(file)
                ]
            found[name] = sorted(rows, key=lambda row: int(row.get("run", row.get("epoch"))))
        elif path.name == runs.SUMMARY_FILE:
            summary = json.loads(path.read_text())
            found[name] = (summary["test_errors"], summary["config"])
    return found


def flags_of(data, **settings):
    own = {"data_dir": data, "train_size": 30, "validation_size": 10, "hidden": 4}
    own |= {"checkpoint_seconds": 1e-9} if "vary" not in settings else {}
    return [f"--{name}={value}" for name, value in (own | settings).items()]


def die_everywhere(call, module, folder, before, killed, again, done, step):
    """Kills a call at every `step`-th event, in a copy of `before`, and repeats it as `again`.

    `done` holds the results that the whole call comes to. What was there, if it was finished, is
    there or replaced by these after each kill.

    Returns:
        How many kills there were.
    """
    at, kills = 0, 0
    earlier = results(before) if before else None
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if before:
            shutil.copytree(before, folder)
        try:
            with disk.dying(folder, at):
                call(module, *killed)
        except disk.Killed:
            kills += 1
        else:
            assert results(folder) == done
            return kills
        if before:
            directories.complete(folder)  # as a reader does
            now = results(folder)
            kept = {name: now[name] for name in now if not name.startswith("unfinished/")}
            assert kept in (earlier, done), at
            assert reading.read(folder).name
        if directories.kind_of(folder) is None and not before:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was begun
            call(module, *killed)
        else:
            call(module, *again)
        assert results(folder) == done, at
        assert not list(folder.rglob("*.half-written")), at
        assert not (folder / directories.UNFINISHED).exists(), at
        at += step


STEPS = [EVERY, pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["train", "grow", "overwrite"])
def test_a_run_killed_anywhere_loses_nothing(call, data, tmp_path, capsys, kind, step):
    folder, before, whole = tmp_path / "run", tmp_path / "before", tmp_path / "whole"
    place = f"--workdir={folder}"
    flags = flags_of(data, epochs=2, seed=1)
    call(train, *flags, f"--workdir={whole}")
    if kind == "train":
        killed, again, start_from = [*flags, place], ["--resume", place], None
    elif kind == "grow":
        call(train, *flags_of(data, epochs=1, seed=1), f"--workdir={before}")
        killed = again = ["--resume", "--epochs=2", place]
        start_from = before
    else:
        call(train, *flags_of(data, epochs=1, seed=5), f"--workdir={before}")
        killed = again = [*flags, "--overwrite", place]
        start_from = before
    kills = die_everywhere(call, train, folder, start_from, killed, again, results(whole), step)
    assert kills > 60 // step
    with capsys.disabled():
        print(f" [{kind}: {kills} kills]", end="")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sweep", "overwrite"])
def test_a_sweep_killed_anywhere_loses_nothing(call, data, tmp_path, capsys, monkeypatch, kind):
    """With its best run, which saves a checkpoint after every epoch and goes on from it."""
    monkeypatch.setattr("experiments.sweeping.best.CHECKPOINT_SECONDS", 1e-9)
    monkeypatch.setattr("experiments.cli.devices.use_cpu_devices", lambda auto: None)
    monkeypatch.setattr("digits_jax.reports.drawing.require", no_figures)
    folder, before, whole = tmp_path / "sweep", tmp_path / "before", tmp_path / "whole"
    place = f"--workdir={folder}"
    flags = flags_of(data, epochs=2, vary="learning_rate=0.1,1", seeds=1, chunk=1)
    call(sweep, *flags, f"--workdir={whole}")
    assert "best/checkpoints/2.safetensors" in {
        str(path.relative_to(whole)) for path in whole.rglob("*")
    }
    killed, again, start_from = [*flags, place], ["--resume", place], None
    if kind == "overwrite":
        call(sweep, *flags, "--seed=5", f"--workdir={before}")
        killed = again = [*flags, "--overwrite", place]
        start_from = before
    kills = die_everywhere(call, sweep, folder, start_from, killed, again, results(whole), 3)
    with capsys.disabled():
        print(f" [{kind}: {kills} kills]", end="")


def no_figures():
    raise ValueError("figures are drawn elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3, 60, 8))
def test_a_process_killed_within_a_write_goes_on(start_module, data, tmp_path, number):
    """SIGKILL, to real processes."""
    folder, whole = tmp_path / "run", tmp_path / "whole"
    flags = flags_of(data, epochs=2)
    assert start_module("experiments.train", *flags, f"--workdir={whole}").wait(120) == 0
    words = [DISK, str(number), str(folder), "experiments.train", *flags, f"--workdir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, *words], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    again = ["--resume"] if directories.kind_of(folder) else [*flags, "--overwrite"]
    process = start_module("experiments.train", *again, f"--workdir={folder}")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert results(folder) == results(whole)
