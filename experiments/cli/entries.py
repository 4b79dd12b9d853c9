"""Entries of one's own: `--entries` names the files or modules that add them to the tables.

They are imported when the settings are read, so that the devices are already chosen if such a file
uses JAX at its top. A run stores their absolute paths and SHA-256 in flags.txt and summary.json.
"""

import functools
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from digits_jax import runs
from digits_jax.runs import flags_file

FLAGS = absl_flags.FLAGS
NAME = "entries"


def define() -> None:
    """Defines the flag; every script has it."""
    text = "Python files or modules that add entries to the tables, as in mine.py"
    absl_flags.DEFINE_list(NAME, [], text, module_name="network")


def given() -> list[str]:
    """What `--entries` names: each a path or a module, with #SHA-256 where a run has stored it."""
    return (FLAGS[NAME].value or []) if NAME in FLAGS else []


def load(folders: Iterable[str | Path] = ()) -> None:
    """Imports what `--entries` names or, if it names nothing, what the runs in `folders` were
    trained with.

    Raises:
        ValueError: in one line, if a file or module does not exist or cannot be imported.
    """
    if not given() and (stored := list(dict.fromkeys(w for f in folders for w in _of_run(f)))):
        FLAGS[NAME].value = stored
    for word in given():
        where, _, expected = word.partition("#")
        sha256 = _import(where)
        if expected and sha256 != expected:
            _warn_once(f"entries={where}: the file has changed since it was stored with the run")


def stored() -> list[dict[str, str]]:
    """The absolute path (or the name of the module) and the SHA-256 of everything that is given."""
    places = [word.partition("#")[0] for word in given()]
    return [
        {"path": str(Path(w).expanduser().absolute()) if _is_file(w) else w, "sha256": _import(w)}
        for w in places
    ]


def lines() -> list[str]:
    """The line of flags.txt, none if nothing is given."""
    words = [f"{entry['path']}#{entry['sha256']}" for entry in stored()]
    return [f"--{NAME}={','.join(words)}"] if words else []


def paths() -> Sequence[str]:
    """What is given, without the SHA-256: as people type it."""
    return [word.partition("#")[0] for word in given()]


def _of_run(folder: str | Path) -> list[str]:
    """What flags.txt in a run's folder, or beside a model's file, names."""
    place = Path(folder).expanduser()
    file = (place if place.is_dir() else place.parent) / runs.FLAGS_FILE
    lines = flags_file.read(file) if file.is_file() else []
    found = [line.partition("=")[2] for line in lines if line.startswith(f"--{NAME}=")]
    return [word for text in found for word in text.split(",")]


@functools.cache
def _warn_once(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _is_file(where: str) -> bool:
    return where.endswith(".py") or "/" in where


@functools.cache
def _import(where: str) -> str:
    """Imports a file or a module once, and gives its SHA-256."""
    name, path = where, Path(where).expanduser().absolute()
    if _is_file(where):
        if not path.is_file():
            raise ValueError(f"{NAME}={where}: no such file")
        name = path.stem
        sys.path.append(str(path.parent))  # for what it imports from its own folder
    try:
        if not _is_file(where):
            module: Any = importlib.import_module(name)
            path = Path(module.__file__ or "")
        elif name in sys.modules and getattr(sys.modules[name], "__file__", "") != str(path):
            raise ValueError(f"a module called {name} is loaded already: rename the file")
        else:
            spec: Any = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = f", line {own[-1].lineno}" if own else ""
        if isinstance(error, SyntaxError):
            line = f", line {error.lineno}"
        raise ValueError(f"{NAME}={where}{line}: {type(error).__name__}: {error}") from None
    return hashlib.sha256(path.read_bytes()).hexdigest()
