"""Markdown: tables with a line for every network, notes, and the machine they come from."""

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "numpy")


def machine(command: str, seconds: float) -> str:
    """Where, with what, and how the tables were made."""
    threads = os.environ.get("OPENBLAS_NUM_THREADS")
    blas = f" (OPENBLAS_NUM_THREADS={threads})" if threads else ""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"`{command}` on {processor()}, {os.cpu_count()} cores, JAX on "
        f"{jax.devices()[0].device_kind}; Python {platform.python_version()}, {versions}"
        f"{blas}; {seconds:.0f} s in all."
    )


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def pivot(
    rows: Sequence[Any], cell: Callable[[Sequence[Any]], str], columns: Callable[[Any], str]
) -> str:
    """A table with a line for every network and batch, and a column for each value of `columns`."""
    names = list(dict.fromkeys(columns(row) for row in rows))
    places = list(dict.fromkeys((row.network, row.batch_size, row.parameters) for row in rows))
    lines = []
    for place in places:
        here = [row for row in rows if (row.network, row.batch_size, row.parameters) == place]
        cells = [cell([row for row in here if columns(row) == name]) for name in names]
        lines.append([place[0], place[1], f"{place[2]:,}", *cells])
    return table(["network", "batch", "parameters", *names], lines)


def left_out(rows: Sequence[Any]) -> str:
    """Which methods were left out where, and why: a line for each method and type."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.note.startswith("left out"):
            place = f"{row.network}, batch {row.batch_size} ({row.note.removeprefix('left out: ')})"
            notes.setdefault(f"{row.method} {row.dtype}, left out at", []).append(place)
        elif row.note:
            notes.setdefault(f"{row.method}: {row.note}", [])
    return "\n".join(
        f"- {name} {'; '.join(dict.fromkeys(places))}".rstrip() + "."
        for name, places in notes.items()
    )


def duration(seconds: float) -> str:
    """A time to three digits with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
