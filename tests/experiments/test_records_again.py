"""`experiments.records`: finds the commands, waits for an idle machine, tells what changed."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import records

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "experiments" / "records").glob("*.md"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_shows_the_command_that_makes_it(path):
    *trainings, words = records.commands(path.read_text())
    assert (ROOT / f"{words[1].replace('.', '/')}.py").is_file()
    assert any(word.startswith("--record") for word in words)
    for training in trainings:
        assert (ROOT / training[2].removeprefix("--flagfile=")).is_file()


@pytest.mark.parametrize(
    ("loads", "patience", "idle", "seconds"),
    [
        ([0.1] * 100, 600.0, True, 60),
        ([0.1] * 30 + [0.4] + [0.2] * 100, 600.0, True, 90),
        ([2.0] * 1000, 120.0, False, 180),
    ],
)
def test_it_waits_for_a_minute_of_low_load(loads, patience, idle, seconds):
    now = 0.0

    def sleep(length):
        nonlocal now
        now += length

    found = records.wait_until_idle(patience, lambda: loads[int(now)], lambda: now, sleep)
    assert found is idle
    assert now == pytest.approx(seconds, abs=2)


BEFORE = """# a

`python -m experiments.sweep --record=a` on a machine

| | time | accuracy |
| --- | --- | --- |
| one | 20 ms (10 ms to 30 ms) | 93.86 ± 0.14 % |
| two | 2 s | 95.60 % |
"""


def test_changes_are_told_with_their_factor():
    after = BEFORE.replace("20 ms (10", "0.01 s (8").replace("| 2 s | 95.60 %", "| 2 s | none")
    found = list(records.changes("a", BEFORE, after))
    assert [change[:3] for change in found] == [
        ("a", "a: one", "time"),
        ("a", "a: two", "accuracy"),
    ]
    assert found[0].factor == pytest.approx(0.5)
    assert math.isinf(found[1].factor)
    assert "| a | a: one | time | 20 ms (10 ms to 30 ms) |" in records.report(found)
    assert not list(records.changes("a", BEFORE, BEFORE))


@pytest.mark.slow
def test_it_makes_records_again_and_goes_on_after_a_failure(tmp_path):
    unwanted = shutil.ignore_patterns("records", "__pycache__")
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=unwanted)
    shutil.copytree(ROOT / "digits_jax", tmp_path / "digits_jax")
    folder = tmp_path / "experiments" / "records"
    folder.mkdir()
    tiny = "--train_size=40 --validation_size=20 --hidden=4 --seeds=2"
    for name, epochs in (("bad", "x"), ("good", "2")):
        command = f"python -m experiments.sweep {tiny} --epochs={epochs} --record={name}"
        (folder / f"{name}.md").write_text(f"# {name}\n\n`{command}` on a machine\n")

    def run(*flags):
        words = ["-m", "experiments.records", "--patience_minutes=0", *flags]
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True
        )

    first = run()
    assert first.returncode == 1
    assert "error: these commands failed: bad" in first.stderr
    assert "| 2 |" in (folder / "good.md").read_text()
    assert list(json.loads((tmp_path / "runs/records/before.json").read_text())) == ["good"]
    text = (folder / "bad.md").read_text()
    (folder / "bad.md").write_text(text.replace("--epochs=x", "--epochs=1"))
    again = run("--resume")
    assert again.returncode == 0, again.stderr
    assert "2 records made" in again.stdout
    assert "1 of 2: bad" in again.stdout
    assert "2 of 2: good" not in again.stdout
