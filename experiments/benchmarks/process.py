"""Runs a command and prints as JSON how long it took, its peak memory and its standard output.

A process inherits the peak memory of the one that starts it: this one is small. Seconds count from
the start of the command to its end; bytes are `None` where the system does not tell them.

usage: python -m experiments.benchmarks.process COMMAND [ARGUMENT ...]
"""

import json
import subprocess
import sys
import tempfile
import time


def peak_memory() -> int | None:
    """The largest resident memory of any child that has ended, in bytes."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def main(command: list[str]) -> int:
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        status = subprocess.run(command, stdout=output).returncode
        seconds = time.perf_counter() - started
        output.seek(0)
        print(json.dumps({"time": seconds, "memory": peak_memory(), "output": output.read()}))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
