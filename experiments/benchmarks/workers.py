"""Competitors in processes of their own, kept alive and asked for one thing at a time.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from experiments.cli.timing import Unavailable

ROOT = Path(__file__).parents[2]
# What a competitor is: functions by name.
Functions = dict[str, Callable[..., Any]]


class Worker(NamedTuple):
    """A process that waits for requests, and where it writes what is not an answer."""

    process: subprocess.Popen[str]
    log: IO[str]

    def prepare(self, function: str, **arguments: Any) -> Callable[..., Any]:
        """Has the process keep the functions by name that a function returns.

        Args:
            function: with its module, as in `experiments.benchmarks.project.epoch`.
            arguments: what it is called with.

        Returns:
            What calls one of them: its name, and its arguments by name.
        """
        key = ask(self, function=function, arguments=arguments)
        return lambda name, **given: ask(self, key=key, function=name, arguments=given)


Pool = Callable[..., Worker]


@contextlib.contextmanager
def started() -> Iterator[Pool]:
    """What gives the worker of a name and of environment variables, ended with the context."""
    with contextlib.ExitStack() as stack:
        running: dict[Any, Worker] = {}

        def worker(name: str, **environment: str) -> Worker:
            key = name, *environment.items()
            if key not in running:
                running[key] = stack.enter_context(_process(environment))
            return running[key]

        yield worker


@contextlib.contextmanager
def _process(environment: dict[str, str]) -> Iterator[Worker]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    command = [sys.executable, "-m", "experiments.benchmarks.workers"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=variables, **pipes, stderr=log, text=True)
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


def _serve(requests: IO[str], answers: IO[str]) -> None:
    prepared: list[Functions] = []
    for line in requests:
        try:
            answer = {"result": _answer(prepared, **json.loads(line))}
        except ModuleNotFoundError as error:
            answer = {"error": f"not installed: {error.name}"}
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            answer = {"error": f"failed: {type(error).__name__}: {reason}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(
    prepared: list[Functions], function: str, arguments: dict[str, Any], key: int | None = None
) -> Any:
    if key is not None:
        return prepared[key][function](**arguments)
    module, _, name = function.rpartition(".")
    prepared.append(getattr(importlib.import_module(module), name)(**arguments))
    return len(prepared) - 1


if __name__ == "__main__":
    # What libraries print belongs into the log, not between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt):
        _serve(sys.stdin, answers)
