"""The script from end to end: files, tables, figure, and what mistakes in flags get."""

import csv
import re

import pytest

PNG = b"\x89PNG\r\n\x1a\n"
HEADINGS = (
    "1. One epoch",
    "2. The floor",
    "3. The whole process",
    "4. Growth",
    "5. A convolutional network",
)


def read(directory):
    with open(directory / "benchmark.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_small_benchmark_writes_its_tables_and_its_figure(tmp_path, run_module):
    directory = tmp_path / "small"
    result = run_module(
        "experiments.benchmark",
        f"--workdir={directory}",
        "--quick",
        "--sections=epochs",
        "--peers=NumPy",
        "--batch_sizes=1000",
    )
    assert result.returncode == 0, result.stderr
    files = {"benchmark.md", "benchmark.csv", "benchmark.png"}
    assert {path.name for path in directory.iterdir()} == files
    assert (directory / "benchmark.png").read_bytes().startswith(PNG)
    answer = result.stdout.splitlines()
    assert answer[0].split() == ["10,000", "images", "batch", "1000"]
    assert re.fullmatch(r"NumPy / autodiff +[\d.]+", answer[2])
    assert answer[-1] == f"tables  {directory}: benchmark.md, benchmark.csv, benchmark.png"
    assert "| NumPy |" in (directory / "benchmark.md").read_text()
    measured = {
        (row["section"], row["name"], row["quantity"]) for row in read(directory) if row["median"]
    }
    assert {name for _, name, quantity in measured if quantity == "epoch"} == {
        "autodiff",
        "manual",
        "NumPy",
    }
    for name in ("autodiff", "manual", "NumPy"):
        for quantity in ("epoch", "test accuracy"):
            assert ("epochs", name, quantity) in measured
    assert ("epochs", "autodiff", "sgemm") in measured


@pytest.mark.slow
def test_quick_does_all_of_it(tmp_path, run_module):
    directory = tmp_path / "quick"
    result = run_module("experiments.benchmark", "--quick", f"--workdir={directory}")
    assert result.returncode == 0, result.stderr
    text = (directory / "benchmark.md").read_text()
    assert all(f"\n## {heading}\n" in text for heading in HEADINGS)
    rows = read(directory)
    # Every peer trains as well as this project does, or says why it is not there.
    for row in rows:
        if not row["median"]:
            assert row["note"].startswith("not installed: "), row
        if row["quantity"] == "test accuracy" and row["setting"] == "10":
            assert float(row["median"]) > 0.9, row
    sections = {row["section"] for row in rows if row["median"]}
    assert sections == {"epochs", "process", "growth", "sweeps", "cnn"}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--sections=magic", "sections=magic: choose from epochs, processes"),
        ("--peers=Excel", "peers=Excel: choose from NumPy"),
        ("--batch_sizes=20000", "batch_sizes=20000: must be at most 10000"),
        ("--networks=two", "networks=two: expected integers"),
    ],
)
def test_a_mistake_gets_one_line(flag, message, tmp_path, run_module, assert_one_line_error):
    directory = tmp_path / "never"
    result = run_module("experiments.benchmark", flag, f"--workdir={directory}")
    assert_one_line_error(result, message)
    assert not directory.exists()
