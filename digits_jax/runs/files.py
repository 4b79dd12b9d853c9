"""Files that are there whole or not at all, and reading what may be damaged."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HALF_WRITTEN = "half-written"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a temporary file, flushes it to the disk and renames it to `path`.

    Raises:
        OSError: the disk is full or the folder not writable; an earlier `path` then stays. Also
            where `path` is not a regular file: root would put a file in place of a device.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{HALF_WRITTEN}")
    with naming(path):
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Flushes the names in a folder to the disk: a rename alone may be lost with the power."""
    if os.name != "nt":  # where a folder cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def remove_half_written(directory: Path, depth: int = 3) -> None:
    """Removes what killed processes left in `directory` and in folders up to `depth` below it."""
    for below in range(depth + 1):
        for path in directory.glob("*/" * below + f".*.{HALF_WRITTEN}"):
            path.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors name `path`: that of a full disk names no file, others the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: in one line that names the file, where it does not hold one.
        OSError: where it cannot be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: damaged: expected a JSON object")
    return found
