"""What macOS and Windows lack: the scripts run without it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Names that only Linux, or only Unix, has. Libraries may use them as they are imported.
WITHOUT = """
import os, runpy, sys
import digits_jax, experiments.train, psutil, safetensors, tqdm, filelock
import experiments.report, experiments.sweep, PIL.Image, scipy.ndimage, optax
for name in (
    "sched_getaffinity", "sched_setaffinity", "sysconf", "getloadavg", "set_blocking", "fork",
    "wait4", "getuid", "geteuid", "register_at_fork", "posix_fallocate", "mkfifo", "statvfs",
):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["fcntl"] = sys.modules["resource"] = None
module, *sys.argv[1:] = sys.argv[1:]
del sys.modules[module]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def without(module, *flags):
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT, module, *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture
def words(tmp_path, write_idx_folder, tiny_split):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    sizes = ("--train_size=40", "--validation_size=20", "--epochs=2", "--hidden=4")
    return f"--data_dir={folder}", *sizes


def test_a_training_runs_with_what_every_system_has(tmp_path, words):
    assert "test accuracy" in without("experiments.train", *words, f"--workdir={tmp_path / 'run'}")


@pytest.mark.slow
def test_a_sweep_and_a_report_run_with_it_too(tmp_path, words, train_run):
    without("experiments.sweep", *words, "--seeds=2", f"--workdir={tmp_path / 'sweep'}")
    settings = {"data_dir": words[0].partition("=")[2], "train_size": 40, "validation_size": 20}
    run = train_run(tmp_path / "run", **settings, epochs=2, hidden=("4",))
    (run / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes().replace(b"\n", b"\r\n"))
    without("experiments.report", run, f"--output={tmp_path / 'page.html'}")
