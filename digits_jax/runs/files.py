"""Files that are there whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

HALF_WRITTEN = "half-written"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes `path` under a temporary name, flushes it to the disk and renames it.

    Raises:
        OSError: where the disk is full or the folder not writable; an earlier `path` then stays.
            And where that is no regular file: root would put a file in place of a device.
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
        finally:
            temporary.unlink(missing_ok=True)


def remove_half_written(directory: Path) -> None:
    """Removes what processes that were killed left in `directory` and the folders in it."""
    for pattern in (f".*.{HALF_WRITTEN}", f"*/.*.{HALF_WRITTEN}"):
        for path in directory.glob(pattern):
            path.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors name `path`: that of a full disk names no file, others the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
