"""What is made of measurements: the floor, goals, tables, CSV. All numbers here are invented."""

import csv
import io

import pytest

from experiments.benchmarks import epochs, floor, growth, processes
from experiments.benchmarks.goals import GOALS, judge
from experiments.benchmarks.report import flatness, markdown
from experiments.benchmarks.rows import Row, measured, missing, to_csv
from experiments.cli.timing import Summary, summarise


def epoch(name, batch_size, seconds):
    return measured(epochs.SECTION, name, batch_size, "epoch", "s", summarise([seconds]), "a form")


def rate(name, batch_size, flops, note=""):
    found = summarise([flops])
    return measured(epochs.FLOOR_SECTION, name, batch_size, "sgemm", "FLOP/s", found, note)


def process(name, setting, seconds, memory):
    key = (processes.SECTION, name, setting)
    return [
        measured(*key, "time", "s", summarise([seconds])),
        measured(*key, "memory", "B", summarise([memory])),
        measured(*key, "test accuracy", "", summarise([0.9377])),
    ]


def image_time(batch_size, images, seconds):
    name = f"autodiff, batch {batch_size}"
    return measured(growth.IMAGES, name, images, growth.QUANTITY, "s", summarise([seconds]))


ROWS = [
    epoch("autodiff", 10, 0.010),
    epoch("NumPy", 10, 0.030),
    epoch("NumPy (SkylakeX)", 10, 0.020),
    missing(epochs.SECTION, "PyTorch eager", 10, "epoch", "s", "not installed: torch"),
    rate("slow library, 1 thread", 10, 100e9, epochs.ONE_CORE),
    rate("fast library, 1 thread", 10, 191.76e9, epochs.ONE_CORE),
    rate("fast library, 2 threads", 10, 383.52e9),
    *process("autodiff", "cold", 3.0, 400e6),
    *process("autodiff", "warm", 2.0, 650e6),
    *process("NumPy, 1 thread", "", 2.0, 100e6),
    *process("NumPy, 2 threads", "", 4.0, 100e6),
    *process("NumPy (SkylakeX), 1 thread", "", 1.0, 100e6),
    *process("NumPy, 1 thread", "2 epochs", 0.5, 100e6),
    image_time(10, 1_000, 3e-6),
    image_time(10, 1_000_000, 2e-6),
    image_time(128, 1_000, 1e-6),
    image_time(128, 60_000, 4e-6),
    image_time(128, 1_000_000, 1e-6),
]


def test_operations_of_the_classic_network():
    # Forward 784*30 + 30*10, gradients as much, delta through the second layer 30*10.
    assert floor.operations(images=1) == 2 * (23_820 + 23_820 + 300)
    assert floor.operations() == 958_800_000


def test_the_share_of_the_floor_is_at_the_fastest_rate():
    (mine,) = (row for row in ROWS if row.name == "autodiff" and row.section == epochs.SECTION)
    # 958.8 MFLOP at 191.76 GFLOP/s are 5 ms of 10.
    assert floor.share(ROWS, mine, one_core=True) == pytest.approx(0.5)
    assert floor.share(ROWS, mine, one_core=False) == pytest.approx(0.25)
    assert floor.share(ROWS, mine._replace(setting="32"), one_core=True) is None


def verdicts(rows):
    return {goal.what: judge(goal, rows)[2:] for goal in GOALS}


def test_goals_are_judged_from_the_rows():
    found = verdicts(ROWS)
    assert found["batch 10, one epoch, against NumPy"] == ("3 times as fast", "reached")
    assert found["the same with its SkylakeX kernels"] == (
        "2 times as fast",
        "not reached: 80 % of it",
    )
    assert found["batch 10, against PyTorch eager"] == ("not measured", "")
    assert found["batch 10, share of one core's floor"] == ("50 %", "reached")
    assert found["default run, cold, in times of NumPy's"] == (
        "1.50 times",
        "not reached: 80 % of it",
    )
    assert found["default run, warm, in times of NumPy's"] == ("1.00 times", "reached")
    assert found["the same with its SkylakeX kernels, warm"][0] == "2.00 times"
    assert found["default run, peak memory"] == ("650 MB", "not reached: 92 % of it")
    # At batch 128, 60,000 images take four times as long each.
    assert found["time an image, 1,000 to 1,000,000 images"][0] == "300 % apart"
    assert found["60,000 images at batch 128, one epoch"] == ("0.24 s", "reached")


def test_without_measurements_no_goal_is_judged():
    assert set(verdicts([]).values()) == {("not measured", "")}


def test_flat_is_the_part_by_which_the_greatest_exceeds_the_least():
    assert flatness([2.0, 2.5, 2.0]) == pytest.approx(0.25)


def test_the_page_says_what_is_missing_and_why():
    text = markdown(ROWS, "a machine")
    assert "| PyTorch eager | not installed: torch |" in text
    assert "| NumPy | 30 ms |" in text
    assert "| autodiff | warm | 2 s | 650 MB | 93.77 |" in text
    assert "| autodiff, batch 128 | 1 µs | 4 µs | 1 µs | 300 % |" in text
    for heading in ("Goals", "1. One epoch", "2. The floor", "3. The whole process", "4. Growth"):
        assert f"\n### {heading}\n" in text


def test_csv_holds_every_row():
    spread = Row("epochs", "a, b", "10", "epoch", "s", *Summary(2.0, 1.0, 3.0, 5), "said so")
    rows = [*ROWS, spread]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert len(read) == len(rows)
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
        "note": "said so",
    }
    assert read[3]["median"] == ""
