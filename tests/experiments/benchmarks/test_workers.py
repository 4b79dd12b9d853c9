"""Competitors in processes of their own: real processes, asked one at a time."""

import resource
import sys

import pytest

from experiments.benchmarks import workers
from experiments.benchmarks.trainings import CONVOLUTIONAL
from experiments.cli.timing import Unavailable

LAUNCHER = "experiments.benchmarks.competitors.launcher"


@pytest.fixture
def worker():
    with workers.started() as pool:
        yield pool("any")


@pytest.fixture
def launcher(worker):
    return worker.prepare(LAUNCHER)


def run(launcher, code, **environment):
    command = [sys.executable, "-c", code]
    return launcher("run", command=command, environment=environment)


def test_a_command_runs_in_its_environment(launcher):
    result = run(launcher, "import os; print(os.environ['ANSWER'])", ANSWER="42")
    assert result["output"] == "42\n"
    assert result["seconds"] > 0


def test_peak_memory_is_the_commands_own(launcher):
    # These tests have imported JAX: a command started from here would begin with their memory.
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    small = run(launcher, "pass")["memory"]
    large = run(launcher, "held = bytearray(200_000_000)")["memory"]
    assert small < mine / 2
    assert 200e6 < large < 200e6 + 2 * small


def test_a_command_that_fails_says_why_and_the_next_one_runs(launcher):
    with pytest.raises(Unavailable, match="ValueError: no such luck"):
        run(launcher, "raise ValueError('no such luck')")
    assert run(launcher, "print('still here')")["output"] == "still here\n"


def test_what_is_not_installed_is_named(worker, launcher):
    with pytest.raises(Unavailable, match="not installed: no_such_library"):
        worker.prepare("no_such_library.function")
    with pytest.raises(Unavailable, match="not installed: no_such_library"):
        run(launcher, "import no_such_library")


def test_a_process_that_dies_is_noticed(worker, launcher):
    worker.process.kill()
    with pytest.raises(Unavailable, match="ended with status -9"):
        run(launcher, "pass")


def test_what_a_competitor_prints_is_no_answer(tmp_path):
    (tmp_path / "noisy.py").write_text(
        "def noisy():\n    print('noise')\n    return {'answer': lambda: print('more') or 7}\n"
    )
    with workers.started() as pool:
        worker = pool("noisy", PYTHONPATH=str(tmp_path))
        assert worker.prepare("noisy.noisy")("answer") == 7


def test_a_name_with_an_environment_has_one_process():
    with workers.started() as pool:
        assert pool("a", V="1") is pool("a", V="1")
        assert pool("a", V="1").process.pid not in (
            pool("b", V="1").process.pid,
            pool("a").process.pid,
        )
        assert (
            run(pool("a", V="1").prepare(LAUNCHER), "import os; print(os.environ['V'])")["output"]
            == "1\n"
        )


def test_a_network_of_convolutions_is_trained_in_a_worker(worker):
    settings = {**CONVOLUTIONAL, "hidden": ("conv2x3/2",), "train_size": 640, "batch_size": 64}
    turn = worker.prepare("experiments.benchmarks.competitors.ours", **settings)("turn", epochs=2)
    assert turn["epoch"] > 0
    assert turn["test accuracy"] > 0.2
