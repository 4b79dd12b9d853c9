"""The tutor of gradients from end to end, as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from digits_jax import layers
from experiments.checking import exercises

ROOT = Path(__file__).parent.parent.parent
CHECK = "experiments.check_gradients"
MINE = """
import jax, jax.numpy as jnp
from digits_jax import activations, layers
from digits_jax.layers import Affine, WORDS

def mydense(units):
    def pullback(p, a, delta):
        return Affine(a @ delta.T, delta.mean(1)), p.weights.T @ delta
    return layers.dense(units)._replace(kind="mydense", pullback=pullback)

WORDS[r"mydense(?P<units>[1-9]\\d*)"] = mydense
activations.ACTIVATIONS["right"] = activations.Activation(jnp.sin, jnp.cos)
"""


def test_a_file_of_ones_own_is_checked_and_its_mistakes_are_named(tmp_path, fork_module):
    mine, page = tmp_path / "mine.py", tmp_path / "page.html"
    mine.write_text(MINE)
    result = fork_module(CHECK, mine, f"--page={page}")
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    shapes = "yours is [7, 3], W is [3, 7]: transposed; its numbers are right"
    assert lines[0] == f"WRONG  mydense, dC/dW (BP4): {shapes}"
    assert "WRONG  mydense, dC/db (BP3): off by" in lines[1]
    assert "divided by 5, the batch size: the mean instead of the sum" in lines[1]
    assert lines[2].startswith("right  mydense, dC/da (the first half of BP2): within")
    assert lines[3].startswith("right  right, f'(z) (BP2)")
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 3  # of dC/db: yours, right, their difference
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_grader_reads_json(tmp_path, fork_module):
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    result = fork_module(CHECK, mine, "--json")
    found = json.loads(result.stdout)
    assert not found["ok"]
    assert [entry["ok"] for entry in found["entries"]] == [False, True]
    assert [f["ok"] for f in found["entries"][0]["findings"]] == [False, False, True]


@pytest.mark.slow
def test_every_entry_of_ours_is_right(run_module):
    result = run_module(CHECK)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "right  dense" in result.stdout
    assert "-----  silu             no derivative by hand" in result.stdout


@pytest.mark.parametrize("kind", ["dense", "activation", "loss", "gradient"])
def test_an_exercise_fails_with_a_friendly_line_until_it_is_written(tmp_path, kind):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", CHECK, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    made = run(f"--new={kind}")
    assert made.returncode == 0, made.stderr
    result = run(f"my_{kind}.py")
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert line.endswith("returns nothing yet: write it")


def test_there_is_a_small_example_of_every_layer():
    for pattern, make in layers.WORDS.items():
        assert exercises.example(pattern, make).kind
