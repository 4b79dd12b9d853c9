"""Records: the command that stands in one makes it again."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def recorded(tmp_path):
    """The record that a script of a copy of experiments writes, given its words."""
    unwanted = shutil.ignore_patterns("records", "__pycache__")
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=unwanted)

    def run(name, *words):
        subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            check=True,
            capture_output=True,
        )
        path = tmp_path / "experiments" / "records" / f"{name}.md"
        text = path.read_text()
        for picture in re.findall(r"!\[.*\]\((.*)\)", text):
            assert (path.parent / picture).read_bytes()
        path.unlink()
        return text

    return run


def command(record):
    """The words of the command in a record's second paragraph, without the interpreter's."""
    return shlex.split(re.match(r"`python -m (.*?)` on ", record.split("\n\n")[1])[1])


def table(record, without=0):
    """The rows of the table in a record, but for so many columns at the end."""
    lines = [line.split(" | ") for line in record.splitlines() if line.startswith("| ")]
    return [line[: len(line) - without] for line in lines]


def test_that_of_a_sweep_with_its_flag_file(recorded, tmp_path, write_idx_folder, tiny_split):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    settings = ["--train_size=40", "--validation_size=20", "--epochs=2", "--learning_rate=0.3"]
    (tmp_path / "tiny.flags").write_text("\n".join([f"--data_dir={folder}", *settings]))
    words = ("experiments.sweep", f"--flagfile={tmp_path / 'tiny.flags'}", "--record=tiny")
    first = recorded("tiny", *words, "--seeds=3", "--vary=hidden=4,6x5", "--seed=7")
    assert f"--flagfile={tmp_path / 'tiny.flags'}" in command(first)
    assert "--train_size=40" not in command(first)
    assert "over the seeds 7 to 9" in first
    assert all(setting in first.partition("Settings")[2] for setting in settings)
    assert [row[:2] for row in table(first)[2:]] == [["| 4", "3"], ["| 6x5", "3"]]
    again = recorded("tiny", *command(first))
    assert table(again, without=1) == table(first, without=1)


def test_that_of_a_program_compiled_for_devices(recorded):
    words = ("experiments.compile_for", "--target=cpu", "--target=cpu:2", "--image_shape=5,7")
    first = recorded("two", *words, "--batch_size=20", "--train_size=400", "--record=two")
    assert table(first)[0] == ["| of one device", "cpu", "cpu:2 |"]
    assert table(recorded("two", *command(first), "--record=two")) == table(first)


def test_that_of_runs_alone_and_together(
    recorded, tmp_path, train_run, write_idx_folder, tiny_split
):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    size = {"data_dir": str(folder), "train_size": 40, "validation_size": 20}
    runs = [train_run(tmp_path / f"{n}", **size, epochs=2, hidden=("4",), seed=n) for n in (3, 5)]
    first = recorded("pair", "experiments.report", *map(str, runs), "--record=pair")
    found = [json.loads((run / "summary.json").read_text())["test_accuracy"] for run in runs]
    assert "Seeds 3, 5. Settings that are not those of the classic run: `--data_dir=" in first
    (row,) = table(first)[2:]
    assert row[0] == "| 2"
    assert row[1].startswith(f"{100 * np.mean(found):.2f} ± ")
    assert row[2:4] == [f"{100 * extreme(found):.2f} %" for extreme in (min, max)]
    assert recorded("pair", *command(first)).split("\n\n")[2:] == first.split("\n\n")[2:]
