"""What is made of measurements: the floor, tables, the answer, CSV. All numbers are invented."""

import csv
import io
import re

import pytest

from experiments.benchmarks import report, sections
from experiments.benchmarks.measurements import Measurement, take_turns, to_csv
from experiments.benchmarks.report import markdown
from experiments.cli.timing import Unavailable


def row(section, name, setting, quantity, median, note="", unit="s"):
    spread = (None, None, None, 0) if median is None else (median, median, median, 1)
    return Measurement(section, name, str(setting), quantity, unit, *spread, note)


def epoch(name, batch_size, seconds, note=""):
    return row("epochs", name, batch_size, "epoch", seconds, note)


def process(name, setting, seconds, memory):
    values = {"time": seconds, "memory": memory, "test accuracy": 0.9377}
    return [row("process", name, setting, *value) for value in values.items()]


def image_time(batch_size, images, seconds):
    return row("training images", f"autodiff, batch {batch_size}", images, "time an image", seconds)


MISSING = "not installed: torch"
FOUND = [
    epoch("autodiff", 10, 0.010),
    epoch("NumPy", 10, 0.030),
    epoch("NumPy (SkylakeX)", 10, 0.020),
    epoch("PyTorch eager", 10, None, MISSING),
    row("epochs", "slow library", 10, "sgemm", 100e9),
    row("epochs", "fast library", 10, "sgemm", 383.52e9),
    *process("autodiff", "cold", 3.0, 400e6),
    *process("autodiff", "warm", 2.0, 650e6),
    *process("NumPy", "1 thread", 2.0, 100e6),
    row("process", "PyTorch eager", "1 thread", "time", None, MISSING),
    image_time(10, 1_000, 3e-6),
    image_time(10, 1_000_000, 2e-6),
    image_time(128, 1_000, 1e-6),
    image_time(128, 60_000, 4e-6),
]


def test_the_share_of_the_floor_is_at_the_fastest_rate():
    # 958.8 MFLOP at 383.52 GFLOP/s are 2.5 ms of 10.
    assert report.floor_share(FOUND, FOUND[0]) == pytest.approx(0.25)
    assert report.floor_share(FOUND, epoch("autodiff", 32, 0.010)) is None


def test_who_cannot_be_prepared_gets_a_row_that_says_why_and_the_others_take_turns():
    def missing():
        raise Unavailable(MISSING)

    values = iter([1.0, 3.0, 2.0])
    competitors = {
        ("a", 10): lambda: lambda: {"epoch": next(values), "test accuracy": 0.9},
        ("b", 10): missing,
    }
    found = list(take_turns("epochs", "epoch", competitors, rounds=3))
    assert found == [
        Measurement("epochs", "a", "10", "epoch", "s", 2.0, 1.0, 3.0, 3),
        Measurement("epochs", "a", "10", "test accuracy", "", 0.9, 0.9, 0.9, 3),
        epoch("b", 10, None, MISSING),
    ]


def test_the_page_holds_the_figures_and_says_what_is_missing_and_why():
    text = markdown(FOUND, "a machine", "picture.png")
    assert text.startswith("# Benchmark\n\na machine\n\n![")
    assert "(picture.png)" in text
    assert "| PyTorch eager | not installed: torch |" in text
    assert "| NumPy | 30 ms |" in text
    assert "| NumPy | 3.00 |" in text
    assert "| autodiff | 25 % |" in text
    assert "| autodiff, warm | 2 s | 650 MB | 93.77 |" in text
    assert "| autodiff, batch 128 | 1 µs |  | 4 µs |" in text
    for heading in ("1. One epoch", "2. The floor", "3. The whole process", "4. Growth"):
        assert f"\n## {heading}\n" in text


def test_the_answer_is_ten_lines():
    lines = list(report.answer(FOUND))
    assert len(lines) == 9
    words = {line[:32].strip(): line[32:].split() for line in lines}
    assert words["autodiff takes"] == ["10", "ms"]
    assert words["NumPy takes"] == ["3.00", "times"]
    assert words["PyTorch eager takes"] == ["-", "not", "installed:", "torch"]
    assert words["the products alone"] == ["0.25", "times"]
    assert words["whole, 30 epochs"][:6] == ["autodiff", "cold", "3", "s,", "400", "MB;"]
    assert words["others"] == ["NumPy", "1", "thread", "2", "s,", "100", "MB"]
    assert "1 µs of 1,000, 4 µs of 60,000 (autodiff, batch 128)" in lines[-1]


def test_csv_holds_every_measurement():
    spread = Measurement("epochs", "a, b", "10", "epoch", "s", 2.0, 1.0, 3.0, 5, "so")
    read = list(csv.DictReader(io.StringIO(to_csv([*FOUND, spread]))))
    assert len(read) == len(FOUND) + 1
    assert read[-1] == {
        "section": "epochs",
        "name": "a, b",
        "setting": "10",
        "quantity": "epoch",
        "unit": "s",
        "median": "2.0",
        "minimum": "1.0",
        "maximum": "3.0",
        "n": "5",
        "note": "so",
    }
    assert read[3]["median"] == ""
    assert read[3]["note"] == "not installed: torch"


@pytest.mark.slow
def test_every_recipe_of_a_folder_is_a_process(tmp_path):
    (tmp_path / "short.flags").write_text("--epochs=1\n--train_size=100\n--validation_size=0\n")
    found = list(sections.recipes(1, tmp_path))
    assert {m.name for m in found} == {"short"}
    (accuracy,) = (m.median for m in found if m.quantity == "test accuracy")
    text = markdown(found, "a machine", None)
    assert "![" not in text
    assert re.search(
        rf"^\| short, cold \| .* s \| \d+ MB \| {100 * accuracy:.2f} \|", text, re.MULTILINE
    )
    (line,) = report.answer(found)
    assert line.split()[:3] == ["recipes", "short", "cold"]
