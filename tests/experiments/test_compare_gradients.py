"""The script from end to end: its answer, its files, and what mistakes in flags get."""

import csv

import pytest

SECTIONS = ("Exactness", "Trajectory", "What XLA makes of it", "Cost")
FAULTS_SECTION = "Mistakes in back-propagation by hand"
COMPARE, EXPLAIN = "experiments.compare_gradients", "experiments.explain_gradients"
ESTIMATORS = "experiments.compare_estimators"


def headings(text):
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_a_small_comparison_answers_in_ten_lines_and_writes_its_tables(tmp_path, run_module):
    directory = tmp_path / "small"
    result = run_module(
        COMPARE,
        f"--workdir={directory}",
        "--methods=manual",
        "--dtypes=float32",
        "--hidden=5",
        "--batch_sizes=",
        "--train_size=200",
        "--fault=none",
        "--quick",
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) <= 10
    assert lines[0] == "network   784-5-10, 3,985 parameters, batch 10"
    assert "manual" in lines[1]
    assert lines[-1].startswith("files ")
    text = (directory / "comparison.md").read_text()
    assert headings(text) == list(SECTIONS)
    assert "![Cost](cost.png)" in text
    files = {"comparison.md", "comparison.csv", "trajectory.png", "cost.png"}
    assert {path.name for path in directory.iterdir()} == files
    for path in directory.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size < 100_000
    with open(directory / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["network"] for row in rows if row["table"] == "cost"} == {"784-5-10"}
    assert {row["method"] for row in rows if row["table"] == "exactness"} == {"autodiff", "manual"}


def test_one_network_is_explained_on_the_terminal_and_on_a_page(tmp_path, run_module):
    page = tmp_path / "page.html"
    result = run_module(EXPLAIN, "--hidden=3", f"--page={page}")
    assert result.returncode == 0, result.stderr
    assert "dense2, BP4:  ∂C/∂W = δ aᵀ\n  by hand       layers/columns.py:" in result.stdout
    assert "<h2>✓ dense2, BP4</h2>" in page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.slow
def test_quick_does_all_of_it_in_half_a_minute(tmp_path, run_module):
    result = run_module(COMPARE, "--quick", f"--workdir={tmp_path / 'quick'}")
    assert result.returncode == 0, result.stderr
    assert "gradient check 5" in result.stdout
    text = (tmp_path / "quick" / "comparison.md").read_text()
    assert headings(text)[:4] == list(SECTIONS)
    assert headings(text)[4].startswith(FAULTS_SECTION)
    assert ": within 1e-09." in text
    assert (tmp_path / "quick" / "faults.png").stat().st_size < 100_000


@pytest.mark.slow
def test_a_network_trained_otherwise_is_compared_as_it_is_trained(tmp_path, run_module):
    result = run_module(
        COMPARE,
        "--quick",
        "--flagfile=experiments/recipes/full.flags",
        "--train_size=1000",
        "--methods=manual,numpy",
        f"--workdir={tmp_path / 'full'}",
    )
    assert result.returncode == 0, result.stderr
    assert "numpy" not in next(line for line in result.stdout.splitlines() if "training" in line)


@pytest.mark.parametrize(
    ("script", "flag", "message"),
    [
        (COMPARE, "--methods=autodiff,magic", "methods=autodiff,magic: choose among autodiff"),
        (COMPARE, "--explain", "--explain is now python -m experiments.explain_gradients"),
        (COMPARE, "--estimators", "--estimators is now python -m experiments.compare_estimators"),
        (COMPARE, "--fault=typo", "value should be one of <all|none|batch_mean"),
        (EXPLAIN, "--activation=silu", "silu has no derivative written by hand"),
        (EXPLAIN, "--page=missing/page.html", "expected the name of a file in an existing folder"),
        (ESTIMATORS, "--validation_size=0", "comparing estimators needs validation images"),
        (ESTIMATORS, "--methods=manual", "methods=manual: choose among feedback_alignment"),
    ],
)
def test_a_mistake_gets_one_line(
    script, flag, message, tmp_path, fork_module, assert_one_line_error
):
    directory = tmp_path / "never"
    workdir = [] if script == EXPLAIN else [f"--workdir={directory}"]
    assert_one_line_error(fork_module(script, *flag.split(), *workdir), message)
    assert not directory.exists()


STUDENT = """
import jax
from digits_jax import layers, losses
from digits_jax.gradients import GRADIENTS, manual
from digits_jax.layers import Affine

def student(model, loss):
    double = loss._replace(derivative=lambda z, y: len(y) * loss.derivative(z, y))
    return manual(model, double)

GRADIENTS["student"] = student
"""


def test_a_gradient_of_ones_own_is_a_method_and_its_mistake_is_the_first_line(
    tmp_path, run_module, assert_one_line_error
):
    mine = tmp_path / "mine.py"
    mine.write_text(STUDENT)
    own = (f"--entries={mine}", "--gradients=student", "--hidden=5", "--train_size=200")
    small = ("--methods=manual", "--dtypes=float32,float64", "--batch_sizes=", "--fault=none")
    flags = (*own, *small, "--quick", f"--workdir={tmp_path / 'student'}")
    result = run_module(COMPARE, *flags)
    assert result.returncode == 1, result.stderr
    first = result.stdout.splitlines()[0]
    assert first.startswith("WRONG     student: dense1, dC/dW (BP4): off by")
    assert "BP1 forgets to divide by the batch size" in first
    train = ("experiments.train", *own, "--epochs=1", f"--workdir={tmp_path / 'run'}")
    refused = run_module(*train)
    assert_one_line_error(refused, "gradients=student is wrong: dense1, dC/dW (BP4)")
    assert "BP1 forgets to divide by the batch size" in refused.stderr
    assert run_module(*train, "--unchecked").returncode == 0


def test_results_are_not_overwritten_unasked(tmp_path, run_module, assert_one_line_error):
    kept = tmp_path / "comparison.md"
    kept.write_text("kept")
    result = run_module(COMPARE, "--quick", f"--workdir={tmp_path}")
    assert_one_line_error(result, "is not empty: choose another workdir, or give --overwrite")
    assert kept.read_text() == "kept"


@pytest.mark.slow
def test_estimators_are_compared_by_what_they_train(tmp_path, run_module):
    sizes = ("--hidden=8", "--train_size=500", "--validation_size=500")
    flags = ("--quick", "--methods=feedback_alignment", *sizes)
    result = run_module(ESTIMATORS, *flags, f"--workdir={tmp_path / 'other'}")
    assert result.returncode == 0, result.stderr
    networks, exact, feedback, files = result.stdout.splitlines()
    assert "784-8-10; n=3" in networks
    assert exact.endswith("at 0.0 ± 0.0°")
    assert feedback.startswith("feedback_alignment")
    assert float(feedback.split(" at ")[1].split(" ±")[0]) < 90
    assert files.endswith("estimators.md, angle.png, validation.png")
