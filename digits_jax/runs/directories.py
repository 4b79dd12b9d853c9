"""Folders of results: checked before they are written into, held by one process, cleared."""

import contextlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digits_jax.runs.files import remove_half_written

LOCK_FILE = ".lock"
EARLIER = "earlier"


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
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def set_aside(directory: Path, names: Collection[str]) -> None:
    """Moves files, in this order, and folders into `EARLIER`, until `drop_earlier`.

    Args:
        directory: the folder.
        names: what is moved, as glob patterns; what is not there is passed over.
    """
    found = [path for name in names for path in sorted(directory.glob(name))]
    if found:
        drop_earlier(directory, names)
        (directory / EARLIER).mkdir(exist_ok=True)
    for path in found:
        path.replace(directory / EARLIER / path.name)


def drop_earlier(directory: Path, names: Iterable[str]) -> None:
    """Removes what `set_aside` moved by these names; and its folder, if nothing else is in it."""
    earlier = directory / EARLIER
    for name in names:
        for path in earlier.glob(name):
            _remove(path)
    with contextlib.suppress(OSError):  # none there, or something else in it
        earlier.rmdir()
