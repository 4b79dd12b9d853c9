"""JAX's persistent compilation cache in a folder of the user: a second run compiles nothing."""

import hashlib
import os
import platform
import re
import warnings
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock

from experiments.cli import processor

MAX_BYTES = 256 * 2**20  # some thousand programs; JAX drops those that were not used for longest


def use() -> None:
    """Lets JAX keep compiled programs in a folder of the user; where it cannot be written, none.

    JAX's own variables go before: JAX_COMPILATION_CACHE_DIR names another folder, which is left to
    its user to bound, and JAX_ENABLE_COMPILATION_CACHE=false turns the cache off.
    """
    settings: dict[str, Any] = {
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        directory = default_folder()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _drop_incomplete(directory)
        except OSError:
            return
        settings["jax_compilation_cache_dir"] = str(directory)
        settings["jax_compilation_cache_max_size"] = MAX_BYTES  # also makes JAX lock the folder
    for name, value in settings.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
    _mend(Path(jax.config.jax_compilation_cache_dir))  # type: ignore[attr-defined]


def default_folder() -> Path:
    """`digits_jax/jax-VERSION-PROCESSOR` in XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "digits_jax" / f"jax-{jax.__version__}-{_processor()}"


def _processor() -> str:
    """A digest of the instructions that this processor knows: another may lack some of them."""
    known = processor.instructions() or [platform.machine(), platform.processor()]
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:12]


def _drop_incomplete(directory: Path) -> None:
    """Removes what a killed process left half-written: JAX would fail to read it, each time.

    JAX writes NAME-cache, then NAME-atime, and holds this lock meanwhile.
    """
    with FileLock(directory / ".lockfile", timeout=10):
        for entry in directory.glob("*-cache"):
            if not entry.with_name(f"{entry.name.removesuffix('-cache')}-atime").exists():
                entry.unlink()


def _mend(directory: Path) -> None:
    """Has entries that JAX cannot read made anew: it would only warn, each time."""
    shown = warnings.showwarning

    def show(message: Warning | str, *rest: Any, **options: Any) -> None:
        unread = re.match(
            r"Error reading persistent compilation cache entry .*?'(\w+)", str(message)
        )
        if not unread:
            return shown(message, *rest, **options)
        for entry in directory.glob(f"{unread[1]}-*"):  # of that name: JAX does not say which
            entry.unlink(missing_ok=True)

    warnings.showwarning = show
