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
COMPETITORS = "experiments.benchmarks.competitors"
# What a competitor is: functions by name, to be called and timed.
Functions = dict[str, Callable[..., Any]]


class Worker(NamedTuple):
    """A process that waits for requests, and where it writes what is not an answer."""

    process: subprocess.Popen[str]
    log: IO[str]


class Prepared(NamedTuple):
    """Functions that a worker keeps."""

    worker: Worker
    key: int

    def call(self, function: str, **arguments: Any) -> Any:
        """What one of them returns."""
        return ask(self.worker, do="call", key=self.key, function=function, arguments=arguments)

    def measure(self, function: str, seconds: float) -> Timing:
        """`timing.measure` of one of them."""
        return Timing(
            *ask(self.worker, do="measure", key=self.key, function=function, seconds=seconds)
        )


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


def prepare(worker: Worker, function: str, **arguments: Any) -> Prepared:
    """Has a worker call a function and keep the functions by name that it returns.

    Args:
        worker: where.
        function: as in `.project.epoch`, of a module of `competitors`, or a full name.
        arguments: what it is called with.
    """
    return Prepared(worker, ask(worker, do="prepare", function=function, arguments=arguments))


def _serve(requests: IO[str], answers: IO[str]) -> None:
    prepared: list[Functions] = []
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


def _answer(request: dict[str, Any], prepared: list[Functions]) -> Any:
    if request["do"] == "prepare":
        module, _, name = request["function"].rpartition(".")
        make = getattr(importlib.import_module(module, COMPETITORS), name)
        prepared.append(make(**request["arguments"]))
        return len(prepared) - 1
    function = prepared[request["key"]][request["function"]]
    if request["do"] == "measure":
        return measure(function, request["seconds"])
    return function(**request["arguments"])


if __name__ == "__main__":
    # What libraries print belongs into the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt):
        _serve(sys.stdin, answers)
