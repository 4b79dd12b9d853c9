"""Who takes part in the benchmark, and what is made of measurements; the numbers are invented."""

import json

import pytest

from experiments.benchmarks import cases, report
from experiments.benchmarks.turns import Measurement


def row(section, name, setting, quantity, median, note="", form=""):
    spread = (None, None, None, 0) if median is None else (median, median, median, 1)
    return Measurement(section, name, str(setting), form, quantity, *spread, note)


def process(name, setting, seconds, memory):
    values = {"time": seconds, "memory": memory, "test accuracy": 0.9377}
    return [row("process", name, setting, *value) for value in values.items()]


MISSING = "not installed: 'torch'"
FOUND = [
    row("epochs", "autodiff", 10, "epoch", 0.010),
    row("epochs", "NumPy", 10, "epoch", 0.030, form="in, out, 1 thread"),
    row("epochs", "PyTorch eager", 10, "time", None, MISSING),
    row("epochs", "NumPy", 10, "sgemm", 100e9),
    row("epochs", "autodiff", 10, "sgemm", 383.52e9),
    *process("autodiff", "cold", 3.0, 400e6),
    row("process", "PyTorch eager", "", "time", None, MISSING),
    row("growth", "autodiff, batch 128", 1_000, "epoch", 1e-3),
    row("growth", "autodiff, batch 128", 60_000, "epoch", 24e-2),
]


def test_the_share_of_the_floor_is_at_the_fastest_rate():
    # 958.8 MFLOP at 383.52 GFLOP/s are 2.5 ms of 10.
    assert report.floor_share(FOUND, FOUND[0]) == pytest.approx(0.25)
    assert report.floor_share(FOUND, FOUND[0]._replace(setting="32")) is None


def test_the_page_holds_the_figures_and_says_what_is_missing_and_why():
    text = report.markdown(FOUND, "a machine", "picture.png")
    assert text.startswith("# Benchmark\n\na machine\n\n![")
    for line in (
        "| PyTorch eager | not installed: 'torch' |",
        "| NumPy | 30 ms |",
        "| NumPy | 3.00 |",
        "| NumPy | in, out, 1 thread |",
        "| autodiff | 25 % |",
        "| autodiff, cold | 3 s | 400 MB | 93.77 |",
        "| autodiff, batch 128 | 1 µs | 4 µs |",
        "## 4. Growth",
    ):
        assert f"\n{line}" in text, line


def test_the_answer_is_one_line_a_fact():
    words = {line[:32].strip(): line[32:].strip() for line in report.answer(FOUND)}
    assert words["autodiff takes"] == "10 ms"
    assert words["NumPy / autodiff"] == "3.00"
    assert words["PyTorch eager / autodiff"] == MISSING
    assert words["products alone"] == "0.25"
    assert words["autodiff, cold"] == "3 s, 400 MB"
    assert words["time an image"] == "1 µs of 1,000, 4 µs of 60,000 (autodiff, batch 128)"


def test_operations_of_the_classic_network():
    # Forward 784*30 + 30*10, gradients as much, delta through the second layer 30*10.
    assert cases.OPERATIONS == 10_000 * 2 * (23_820 + 23_820 + 300) == 958_800_000


def test_what_scikit_learn_trains_is_measured_beside_it_alone():
    def names(peers):
        return {forms[0].name for forms in cases.epochs(peers, [10]) if forms}

    assert names(["NumPy"]) == {"autodiff", "manual", "NumPy"}
    other = {"autodiff, cross-entropy", "scikit-learn"}
    assert names(["scikit-learn"]) == {"autodiff", "manual"} | other


def test_a_peer_comes_in_every_form_on_one_thread_and_on_all_cores():
    forms = cases.peer("epochs", "NumPy", cases.PEERS["NumPy"], batch_size=32)
    assert len(forms) == 4 * len(cases.THREADS)
    assert {form.environment["OMP_NUM_THREADS"] for form in forms} == set(map(str, cases.THREADS))
    settings = {"layout": "out, in", "rows": "float32", "batch_size": 32}
    assert json.loads(forms[0].words[1]) == settings


def test_lanes_are_cores_on_a_cpu_and_devices_elsewhere():
    (case,) = next(iter(cases.sweeps([1], "cpu")))
    assert case.name == "autodiff, 1 lane"
    assert case.environment["JAX_NUM_CPU_DEVICES"] == "1"
    assert {case.name for (case,) in cases.sweeps([2], "gpu")} == {"autodiff, gpu", "manual, gpu"}


def test_every_recipe_of_a_folder_is_a_process(tmp_path):
    (tmp_path / "short.flags").write_text("--epochs=1\n")
    ((case,),) = cases.recipes(where=str(tmp_path))
    assert case[:3] == ("recipes", "short", "cold")
    assert case.words[:2] == ("experiments.train", f"--flagfile={tmp_path}/short.flags")
