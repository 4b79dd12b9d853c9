"""Reads what C++ writes to stderr, and says in one line why JAX has ended a process of a job.

Where a process of a job is silent, or process 0 cannot be reached, jaxlib ends the others at once,
by a message of twenty lines and an abort that Python cannot catch. So a process of its own reads
the stderr of C++: all else passes through as it is.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator

FATAL = re.compile(rb"F\d{4} .*JAX distributed service detected fatal errors.*absl::Status: (.*)")
# What comes before it, in one line or more, says the same.
LOGGED = re.compile(rb"[IWEF]\d{4} ")
PREFACE = re.compile(rb"E\d{4} .*coordination_service")
MEANINGS = {
    "stopped sending heartbeats": "lost another process, which was killed or cannot be reached",
    "Failed to send RPC to coordination service": "lost process 0, which was killed or cannot be "
    "reached",
    "newer incarnation": "another process has joined by the same process_id",
    "RegisterTask": "not all processes of the job have joined in time",
}


def translate(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, a fatal message of jaxlib's coordination service as a single one."""
    lines = iter(lines)
    preface: list[bytes] = []
    for line in lines:
        if fatal := FATAL.match(line):
            status = " ".join(b" ".join([fatal[1], *lines]).decode(errors="replace").split())
            status = status.partition(" *** Check failure")[0]
            meaning = next((words for key, words in MEANINGS.items() if key in status), "")
            meaning = meaning or "JAX ended this process"
            yield f"error: {meaning}: {textwrap.shorten(status, 200)}\n".encode()
            return
        if PREFACE.match(line) or (preface and not LOGGED.match(line)):
            preface.append(line)
        else:
            yield from preface
            preface = []
            yield line
    yield from preface


def listen() -> None:
    """Sends what C++ writes to stderr through `translate`; Python's own stderr stays as it is."""
    sys.stderr.flush()
    own = os.dup(2)
    reader, writer = os.pipe()
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", __file__],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0)],
        setpgroup=0,  # a Ctrl-C at the terminal is not for it
    )
    os.dup2(writer, 2)
    os.close(reader)
    os.close(writer)
    sys.stderr = os.fdopen(own, "w", encoding=sys.stderr.encoding, errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True)


def hush() -> None:
    """Drops what C++ has yet to say."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    for line in translate(sys.stdin.buffer):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
