"""Folders of results: checked before they are written into, held by one process, replaced whole.

What would replace something finished is written into the folder `UNFINISHED` in it. As soon as that
is finished as well, its files take the places of the earlier ones.
"""

import contextlib
import fnmatch
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digits_jax.runs.files import remove_half_written, sync

FLAGS_FILE, IDENTITY_FILE, METRICS_FILE = "flags.txt", "identity.json", "metrics.csv"
MODEL_FILE, SUMMARY_FILE = "model.safetensors", "summary.json"
CHECKPOINTS, PROFILE, EVENT_FILES = "checkpoints", "profile", "events.out.tfevents.*"
# In a sweep's folder: a row a run, its table, and the run of its best setting.
RESULTS_FILE, SWEEP_SUMMARY_FILE, BEST = "results.csv", "summary.csv", "best"
CURVES_FILE, VERDICT_FILE = "curves.csv", "verdict.json"
# By what a folder holds: its files as glob patterns. The last is written last: then it is finished.
KINDS = {
    "run": (
        *(METRICS_FILE, CHECKPOINTS, PROFILE, EVENT_FILES, MODEL_FILE),
        *(FLAGS_FILE, IDENTITY_FILE, SUMMARY_FILE),
    ),
    "sweep": (
        *("distribution.png", "against-*.png", "heat-map.png", "differences.png"),
        *(BEST, f"{BEST}.safetensors", CURVES_FILE, VERDICT_FILE, RESULTS_FILE),
        *(FLAGS_FILE, IDENTITY_FILE, SWEEP_SUMMARY_FILE),
    ),
}
LOCK_FILE, UNFINISHED, REPLACING = ".lock", "unfinished", ".replacing"
READER_SECONDS = 5.0  # that a reader waits for a process that is just replacing files


def check(directory: Path, overwrite: bool) -> None:
    """Checks that a script may write into `directory`, which need not exist.

    Raises:
        ValueError: it is not a folder, another process writes into it, or it is not empty and
            `overwrite` is false.
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
def locked(directory: Path, seconds: float = 0.0) -> Iterator[None]:
    """Makes `directory` and holds it, so that no second process writes into it meanwhile.

    The kernel releases it when the process ends, however it ends. What a killed process left
    half-written is removed, and what it left half-replaced is completed.

    Args:
        directory: the folder.
        seconds: to wait for another process.

    Raises:
        ValueError: another process holds it.
        OSError: it cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(directory / LOCK_FILE, timeout=seconds))
        except Timeout:
            raise ValueError(f"another run is writing into {directory}") from None
        remove_half_written(directory)
        replace_earlier(directory)
        yield


def clear(directory: Path, overwrite: bool, names: Iterable[str]) -> None:
    """Makes `directory`; with `overwrite`, removes earlier results and nothing else.

    Args:
        directory: the folder.
        overwrite: whether it may hold files already.
        names: files that are removed, as glob patterns, beside what was half-written.

    Raises:
        ValueError: it is not a folder, or it is not empty and `overwrite` is false.
        OSError: it cannot be made.
    """
    _check_empty(directory, overwrite)
    directory.mkdir(parents=True, exist_ok=True)
    remove_half_written(directory)
    _remove(directory, names)


def kind_of(directory: Path) -> str | None:
    """What a folder holds, a key of `KINDS`; `None` where neither was begun in it."""
    if not (directory / FLAGS_FILE).is_file():
        return None
    return "sweep" if (directory / RESULTS_FILE).is_file() else "run"


def is_finished(directory: Path) -> bool:
    """Whether a folder holds a finished run, or a finished sweep."""
    kind = kind_of(directory)
    return kind is not None and (directory / KINDS[kind][-1]).is_file()


def home(folder: Path) -> Path:
    """The folder that the user knows a run by, of the one that it is written into."""
    return folder.parent if folder.name == UNFINISHED else folder


def under_way(directory: Path) -> Path:
    """The folder that the run of `directory` goes on in."""
    unfinished = directory / UNFINISHED
    return unfinished if kind_of(unfinished) else directory


def renew(directory: Path, overwrite: bool) -> Path:
    """Makes the folder of a new run or sweep; gives the folder to write it into.

    An unfinished one is removed, and nothing else; a finished one stays until it is replaced.

    Raises:
        ValueError: as `clear`.
        OSError: as `clear`.
    """
    _check_empty(directory, overwrite)
    finished = kind_of(directory) if is_finished(directory) else None
    folder = directory / UNFINISHED if finished else directory
    for each in (directory / UNFINISHED, folder):
        if kind := kind_of(each) or finished:
            _remove(each, KINDS[kind])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def grow(directory: Path) -> Path:
    """As `renew`, for a longer run that goes on from the finished one's checkpoints."""
    folder = renew(directory, overwrite=True)
    for path in _matching(directory, (CHECKPOINTS, EVENT_FILES, IDENTITY_FILE)):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, folder)
    return folder


def replace_earlier(directory: Path) -> None:
    """Puts what is finished in `UNFINISHED` in the place of what was there before, if anything is.

    The earlier files are removed, the folder is renamed once, then its files move up. Killed in
    between, it is completed by whoever next writes or reads: nothing new is ever removed.
    """
    unfinished, replacing = directory / UNFINISHED, directory / REPLACING
    if is_finished(unfinished):
        _remove(directory, KINDS[kind_of(unfinished) or "run"])
        unfinished.rename(replacing)
        sync(directory)
    if replacing.is_dir():
        for path in _matching(replacing, [*KINDS["run"], *KINDS["sweep"], "*"]):
            if os.path.lexists(path) and not os.path.lexists(directory / path.name):
                path.rename(directory / path.name)
        sync(directory)
        with contextlib.suppress(OSError):  # where somebody has put something into it
            replacing.rmdir()


def complete(directory: Path) -> None:
    """Completes what a killed process left half-replaced, before `directory` is read.

    Raises:
        ValueError: another process writes into it.
        OSError: it is not writable.
    """
    if is_finished(directory / UNFINISHED) or (directory / REPLACING).is_dir():
        with locked(directory, READER_SECONDS):
            pass


def _matching(directory: Path, names: Iterable[str]) -> list[Path]:
    """What matches the patterns, in their order; links that lead nowhere as well."""
    there = sorted(directory.iterdir()) if directory.is_dir() else []
    return [path for name in names for path in there if fnmatch.fnmatchcase(path.name, name)]


def _remove(directory: Path, names: Iterable[str]) -> None:
    for path in _matching(directory, names):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
