"""Markdown of a comparison: tables with a line for every network, and notes."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.cli.records import table


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
