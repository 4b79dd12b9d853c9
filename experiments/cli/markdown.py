"""Markdown of every experiment: tables, times, and the machine that they come from."""

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.cli import processor

PACKAGES = ("jax", "jaxlib", "numpy")


def machine(command: str, seconds: float, device: str, packages: Sequence[str] = PACKAGES) -> str:
    """Where, with what, and how the tables were made; `packages` are those that are installed."""
    threads = os.environ.get("OPENBLAS_NUM_THREADS")
    blas = f" (OPENBLAS_NUM_THREADS={threads})" if threads else ""
    versions = ", ".join(f"{name} {version}" for name, version in _versions(packages))
    return (
        f"`{command}` on {processor.name()}, {os.cpu_count()} cores, JAX on {device}; "
        f"Python {platform.python_version()}, {versions}{blas}; {seconds:.0f} s in all."
    )


def _versions(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def duration(seconds: float) -> str:
    """A time to three digits with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
