"""Folders of results: checked before they are written into, held by one process, cleared."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digits_jax.runs.files import remove_half_written

LOCK_FILE = ".lock"


def check(directory: Path, overwrite: bool) -> None:
    """Checks that a script may write into `directory`, which need not exist.

    Raises:
        ValueError: where it is not a folder, not empty and `overwrite` is false, or held.
    """
    _check_empty(directory, overwrite)
    if (directory / LOCK_FILE).exists():
        with locked(directory):
            pass


def _check_empty(directory: Path, overwrite: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is not a folder")
    if overwrite or not directory.exists():
        return
    if any(path.name != LOCK_FILE for path in directory.iterdir()):
        raise ValueError(f"{directory} is not empty: choose another workdir, or give --overwrite")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Makes `directory` and holds it: no second process writes into it meanwhile.

    The kernel lets go of it when the process ends, however it ends.

    Raises:
        ValueError: where another process holds it.
        OSError: where it cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(directory / LOCK_FILE, blocking=False))
        except Timeout:
            raise ValueError(f"another run is writing into {directory}") from None
        remove_half_written(directory)
        yield


def clear(directory: Path, overwrite: bool, names: Iterable[str]) -> None:
    """Makes `directory`; with `overwrite`, removes the files of an earlier run and nothing else.

    Args:
        directory: the folder.
        overwrite: whether it may hold files already.
        names: files that are removed, as glob patterns, beside what was half-written.

    Raises:
        ValueError: where it is not a folder, or not empty and `overwrite` is false.
        OSError: where it cannot be made.
    """
    _check_empty(directory, overwrite)
    directory.mkdir(parents=True, exist_ok=True)
    remove_half_written(directory)
    for name in names:
        for path in directory.glob(name):
            path.unlink()
