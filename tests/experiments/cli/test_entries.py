"""`--entries`: files of one's own in real processes, from training to the report."""

import json

import pytest

from experiments.cli import entries

MINE = """
import jax, jax.numpy as jnp
from digits_jax import activations
ones = jnp.ones(10)  # uses JAX before anything has asked for devices
activations.ACTIVATIONS["mine"] = activations.Activation(jnp.sin, jnp.cos)
"""
SMALL = ("--hidden=5", "--activation=mine", "--train_size=200", "--validation_size=200")


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_a_run_remembers_its_entries_and_a_changed_file_is_named(tmp_path, mine, run_module):
    run = tmp_path / "run"
    flags = ("--entries", mine, *SMALL, f"--workdir={run}")
    result = run_module("experiments.train", *flags, "--epochs=1", "--shards=2")
    assert result.returncode == 0, result.stderr
    (stored,) = json.loads((run / "summary.json").read_text())["entries"]
    assert stored["path"] == str(mine)
    assert f"--entries={mine}#{stored['sha256']}\n" in (run / "flags.txt").read_text()
    mine.write_text(MINE + "# another line\n")
    result = run_module("experiments.train", "--resume", f"--workdir={run}", "--epochs=2")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(f"entries={mine}: the file has changed") == 1
    result = run_module("experiments.report", run, f"--output={tmp_path / 'r.html'}")
    assert (result.returncode, result.stderr) == (0, "")
    result = run_module(
        "experiments.export", run, "--format=stablehlo", f"--output={tmp_path / 'r'}"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_sweep_makes_its_devices_before_it_imports_the_file(tmp_path, mine, run_module):
    flags = (f"--entries={mine}", *SMALL, "--epochs=1", "--seeds=2", "--cpu_devices=2")
    result = run_module("experiments.sweep", *flags, f"--workdir={tmp_path / 'sweep'}")
    assert result.returncode == 0, result.stderr
    assert "on 2 devices" in result.stdout


@pytest.mark.parametrize(
    ("text", "flag", "message"),
    [
        ("1 / 0", "", "mine.py, line 1: ZeroDivisionError: division by zero"),
        ("1 +", "", "mine.py, line 1: SyntaxError: invalid syntax"),
        (MINE, "--activation=other", "activation=other: choose one of sigmoid, tanh"),
    ],
)
def test_a_mistake_in_the_file_gets_one_line(
    tmp_path, mine, fork_module, assert_one_line_error, text, flag, message
):
    mine.write_text(text)
    flags = (f"--entries={mine}", *flag.split(), f"--workdir={tmp_path / 'never'}")
    assert_one_line_error(fork_module("experiments.train", *flags), message)


def test_what_does_not_exist_is_refused():
    for where, message in {
        "none/mine.py": "entries=none/mine.py: no such file",
        "no_such_module": "No module named 'no_such_module'",
    }.items():
        with pytest.raises(ValueError, match=message):
            entries._import(where)
