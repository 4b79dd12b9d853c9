"""Whole processes, started from a small one: what they take is theirs alone.

A process counts as its own peak memory what the one that started it had at that moment.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks.workers import ROOT, Functions

# ru_maxrss is in bytes on macOS, in kibibytes elsewhere.
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


def launcher() -> Functions:
    """The function `run`."""
    return {"run": run}


def run(command: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    """Runs a command to its end: its time in seconds, peak memory in bytes and standard output.

    Raises:
        ModuleNotFoundError: where it ended for want of a module.
        ChildProcessError: with the last line of its standard error, where it failed otherwise.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"status {process.returncode}"])[-1]
            wanted = re.fullmatch(r"ModuleNotFoundError: No module named '([^']+)'", last)
            if wanted:
                raise ModuleNotFoundError(last, name=wanted[1])
            raise ChildProcessError(last)
        output.seek(0)
        return {
            "seconds": seconds,
            "memory": usage.ru_maxrss * MEMORY_UNIT,
            "output": output.read(),
        }
