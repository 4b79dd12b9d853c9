"""The script from end to end: files, printed tables, and what mistakes in flags get."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
SECTIONS = (
    "### 1. Exactness",
    "### 2. Trajectory",
    "### 3. What XLA makes of it",
    "### 4. Cost",
    "### 5. Source",
)
FAULTS_SECTION = "### What back-propagation by hand is good for"


def compare(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "experiments.compare_gradients", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        **kwargs,
    )


def test_a_small_comparison_writes_and_prints_its_tables(tmp_path):
    directory = tmp_path / "small"
    result = compare(
        f"--workdir={directory}",
        "--methods=autodiff,manual",
        "--dtypes=float32",
        "--hidden=5",
        "--hidden_sizes=5",
        "--depths=",
        "--batch_sizes=",
        "--train_size=200",
        "--fault=none",
    )
    assert result.returncode == 0, result.stderr
    text = (directory / "comparison.md").read_text()
    assert re.search(r"an epoch is [\d,]+ steps", text)
    assert text in result.stdout
    assert all(section in text for section in SECTIONS)
    assert FAULTS_SECTION not in text
    files = {"comparison.md", "comparison.csv", "exactness.png", "trajectory.png", "cost.png"}
    assert {path.name for path in directory.iterdir()} == files
    for path in directory.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
    with open(directory / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    networks = {row["network"] for row in rows if row["table"] == "cost"}
    assert networks == {"784-5-10"}


@pytest.mark.slow
def test_quick_does_all_of_it_in_half_a_minute(tmp_path):
    result = compare("--quick", f"--workdir={tmp_path / 'quick'}", timeout=300)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "quick" / "comparison.md").read_text()
    assert all(section in text for section in (*SECTIONS, FAULTS_SECTION))
    assert ": within 1e-09." in text
    assert (tmp_path / "quick" / "faults.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("flag", "message", "status"),
    [
        ("--methods=autodiff,magic", "methods=autodiff,magic: choose among autodiff, manual", 1),
        ("--fault=typo", "value should be one of <all|none|activation_derivative", 2),
        ("--depths=two", "depths=two: expected whole numbers", 1),
    ],
)
def test_a_mistake_gets_one_line(flag, message, status, tmp_path):
    directory = tmp_path / "never"
    result = compare(flag, f"--workdir={directory}")
    assert result.returncode == status
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not directory.exists()


def test_results_are_not_overwritten_unasked(tmp_path):
    kept = tmp_path / "comparison.md"
    kept.write_text("kept")
    result = compare("--quick", f"--workdir={tmp_path}")
    assert result.returncode == 1
    assert "is not empty: choose another workdir, or give --overwrite" in result.stderr
    assert kept.read_text() == "kept"
