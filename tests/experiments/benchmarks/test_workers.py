"""Competitors in processes of their own: real processes, asked one at a time."""

import os
import resource
import sys

import pytest

from experiments.benchmarks import workers
from experiments.cli.timing import Unavailable

COMMANDS = ".commands.launcher"


@pytest.fixture
def launcher():
    with workers.started() as worker:
        yield workers.prepare(worker, COMMANDS)


def run(launcher, code, **environment):
    command = [sys.executable, "-c", code]
    return launcher.call("run", command=command, environment=environment)


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


def test_what_is_not_installed_is_named(launcher):
    with pytest.raises(Unavailable, match="not installed: no_such_library"):
        workers.prepare(launcher.worker, "no_such_library.function")
    with pytest.raises(Unavailable, match="not installed: no_such_library"):
        run(launcher, "import no_such_library")


def test_a_process_that_dies_is_noticed(launcher):
    launcher.worker.process.kill()
    with pytest.raises(Unavailable, match="ended with status -9"):
        run(launcher, "pass")


def test_what_a_competitor_prints_is_no_answer(tmp_path):
    (tmp_path / "noisy.py").write_text(
        "def noisy():\n    print('noise')\n    return {'answer': lambda: print('more') or 7}\n"
    )
    with workers.started({"PYTHONPATH": str(tmp_path)}) as worker:
        assert workers.prepare(worker, "noisy.noisy").call("answer") == 7


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are assigned on Linux only")
def test_one_core_is_one_core(launcher):
    code = "import os; print(len(os.sched_getaffinity(0)))"
    everything = int(run(launcher, code)["output"])
    assert everything == len(os.sched_getaffinity(0))
    with workers.started(one_core=True) as worker:
        assert int(run(workers.prepare(worker, COMMANDS), code)["output"]) == 1
