"""What is made of measurements: the floor, tables, the answer, CSV. All numbers are invented."""

import csv
import io

import pytest

from experiments.benchmarks import answer, epochs, floor, growth, processes
from experiments.benchmarks.measurements import Measurement, measurement, to_csv
from experiments.benchmarks.networks import CLASSIC
from experiments.benchmarks.report import markdown
from experiments.cli.timing import Summary, Unavailable, summarise


def epoch(name, batch_size, seconds):
    return measurement("epochs", name, batch_size, "epoch", "s", summarise([seconds]), "a form")


def rate(name, batch_size, flops, note=""):
    return measurement("epochs", name, batch_size, "sgemm", "FLOP/s", summarise([flops]), note)


def process(name, setting, seconds, memory):
    key = (processes.SECTION, name, setting)
    return [
        measurement(*key, "time", "s", summarise([seconds]), "2 epochs"),
        measurement(*key, "memory", "B", summarise([memory])),
        measurement(*key, "test accuracy", "", summarise([0.9377])),
    ]


def image_time(batch_size, images, seconds):
    name, found = f"autodiff, batch {batch_size}", summarise([seconds])
    return measurement(growth.IMAGES, name, images, growth.TIME_AN_IMAGE, "s", found)


MISSING = Unavailable("not installed: torch")
FOUND = [
    epoch("autodiff", 10, 0.010),
    epoch("NumPy", 10, 0.030),
    epoch("NumPy (SkylakeX)", 10, 0.020),
    measurement("epochs", "PyTorch eager", 10, "epoch", "s", MISSING),
    rate("slow library, 1 thread", 10, 100e9, epochs.ONE_CORE),
    rate("fast library, 1 thread", 10, 191.76e9, epochs.ONE_CORE),
    rate("fast library, 2 threads", 10, 383.52e9),
    *process("autodiff", "cold", 3.0, 400e6),
    *process("autodiff", "warm", 2.0, 650e6),
    *process("NumPy", "1 thread", 2.0, 100e6),
    measurement(processes.SECTION, "PyTorch eager", "1 thread", "time", "s", MISSING),
    image_time(10, 1_000, 3e-6),
    image_time(10, 1_000_000, 2e-6),
    image_time(128, 1_000, 1e-6),
    image_time(128, 60_000, 4e-6),
]


def test_the_share_of_the_floor_is_at_the_fastest_rate():
    # 958.8 MFLOP at 191.76 GFLOP/s are 5 ms of 10.
    for one_core, share in ((True, 0.5), (False, 0.25)):
        found = floor.share(CLASSIC, FOUND, "autodiff", "10", one_core)
        assert found == pytest.approx(share)
    assert floor.share(CLASSIC, FOUND, "autodiff", "32", one_core=True) is None


def test_the_page_holds_the_figures_and_says_what_is_missing_and_why():
    text = markdown(CLASSIC, FOUND, "a machine", "picture.png")
    assert text.startswith("# Benchmark\n\na machine\n\n![")
    assert "(picture.png)" in text
    assert "| PyTorch eager | not installed: torch |" in text
    assert "| NumPy | 30 ms |" in text
    assert "| NumPy | 3.00 |" in text
    assert "| autodiff, of all cores | 25 % |" in text
    assert "| autodiff, warm | 2 s | 650 MB | 93.77 |" in text
    assert "| autodiff, batch 128 | 1 µs |  | 4 µs |" in text
    for heading in ("1. One epoch", "2. The floor", "3. The whole process", "4. Growth"):
        assert f"\n## {heading}\n" in text


def test_forms_stand_in_the_page_where_they_were_tried():
    heading = "All forms of the peers"
    assert heading not in markdown(CLASSIC, FOUND, "a machine", "picture.png")
    tried = measurement("epochs", "NumPy", 10, "tried", "s", summarise([0.5]), "slowly")
    text = markdown(CLASSIC, [*FOUND, tried], "a machine", "picture.png")
    assert heading in text
    assert "| NumPy: slowly | 500 ms |" in text


def test_the_answer_is_ten_lines():
    lines = list(answer.lines(CLASSIC, FOUND))
    assert len(lines) == 11
    words = {line[:24].strip(): line[24:].split() for line in lines}
    assert words["autodiff takes"] == ["10", "ms"]
    assert words["NumPy takes"] == ["3.00", "times"]
    assert words["PyTorch eager takes"] == ["-", "not", "installed:", "torch"]
    assert words["torch.compile takes"] == ["-"]
    assert words["the products alone"] == ["0.25", "times"]
    assert words["whole, 2 epochs"][:6] == ["autodiff", "cold", "3", "s,", "400", "MB;"]
    assert words["others"] == ["NumPy", "1", "thread", "2", "s,", "100", "MB"]
    assert "1 µs of 1,000, 4 µs of 60,000 (autodiff, batch 128)" in lines[-1]


def test_csv_holds_every_measurement():
    spread = Measurement("epochs", "a, b", "10", "epoch", "s", *Summary(2.0, 1.0, 3.0, 5), "so")
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
