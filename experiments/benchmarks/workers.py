"""Competitors in processes of their own, kept alive and asked for one measurement at a time.

Libraries of different origin in one process fight for its threads; here each has its own settings,
and only the one that is asked has anything to do. A request and its answer are a line of JSON each.
This module imports nothing that is large: a process started from it begins small.

usage: python -m experiments.benchmarks.workers
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from experiments.cli.timing import Timing, Unavailable, measure

ROOT = Path(__file__).parents[2]
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# What a competitor's module makes of a request: functions by name.
Functions = dict[str, Callable[..., Any]]


class Worker(NamedTuple):
    """A process that waits for requests, and where it writes what is not an answer."""

    process: subprocess.Popen[str]
    log: IO[str]


def thread_settings(threads: int) -> dict[str, str]:
    """The environment in which libraries of linear algebra use so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


@contextlib.contextmanager
def started(
    environment: Mapping[str, str] | None = None, one_core: bool = False
) -> Iterator[Worker]:
    """A worker with its own environment variables, ended with the context.

    Args:
        environment: the variables that it has besides those of this process.
        one_core: whether the system keeps it on one core, where it can.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(environment or {})}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.benchmarks.workers"],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        if one_core and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(process.pid))})
        try:
            yield Worker(process, log)
        finally:
            process.kill()
            process.communicate()


def ask(worker: Worker, **request: Any) -> Any:
    """Sends a request and waits for its answer.

    Raises:
        Unavailable: where it failed, or the process ended.
    """
    process, log = worker
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        log.seek(0)
        last = (log.read().strip().splitlines() or [""])[-1]
        raise Unavailable(f"its process ended with status {process.wait()} {last}".strip())
    answer = json.loads(line)
    if "error" in answer:
        raise Unavailable(answer["error"])
    return answer["result"]


def competitor(name: str) -> str:
    """The full name of a module of `competitors`."""
    return f"experiments.benchmarks.competitors.{name}"


def prepare(worker: Worker, key: str, module: str, **arguments: Any) -> None:
    """Has a worker import `module` and keep what its `prepare` makes of the arguments as `key`."""
    ask(worker, do="prepare", key=key, module=module, arguments=arguments)


def call(worker: Worker, key: str, function: str, **arguments: Any) -> Any:
    """What a function of `key` returns."""
    return ask(worker, do="call", key=key, function=function, arguments=arguments)


def time_turn(worker: Worker, key: str, function: str, seconds: float) -> Timing:
    """`timing.measure` of a function of `key`."""
    return Timing(*ask(worker, do="turn", key=key, function=function, seconds=seconds))


def _serve(requests: IO[str], answers: IO[str]) -> None:
    prepared: dict[str, Functions] = {}
    for line in requests:
        try:
            answer = {"result": _answer(json.loads(line), prepared)}
        except ModuleNotFoundError as error:
            answer = {"error": f"not installed: {error.name}"}
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"failed: {type(error).__name__}: {reason}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(request: dict[str, Any], prepared: dict[str, Functions]) -> Any:
    key = request["key"]
    if request["do"] == "prepare":
        module = importlib.import_module(request["module"])
        prepared[key] = module.prepare(**request["arguments"])
        return None
    function = prepared[key][request["function"]]
    if request["do"] == "turn":
        return measure(function, request["seconds"])
    return function(**request["arguments"])


if __name__ == "__main__":
    # What libraries print belongs into the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt):
        _serve(sys.stdin, answers)
