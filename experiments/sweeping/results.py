"""results.csv: a row for each run of a sweep."""

import csv
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from digits_jax.config import Config
from digits_jax.results import CURVES, IDENTITY, OUTCOMES
from digits_jax.runs import identity
from digits_jax.runs.directories import FLAGS_FILE
from digits_jax.runs.files import write_atomically

# What a row was made with, beside the values that are varied: digests, and options of JAX.
MADE_WITH = ("settings", *IDENTITY)


def made_with(config: Config, data: str) -> dict[str, str]:
    """What the row of a run holds in the columns `MADE_WITH`; `data` is their SHA-256."""
    default = identity.settings(Config())  # left out: a later version may have more of them
    own = {
        name: value for name, value in identity.settings(config).items() if value != default[name]
    }
    settings = json.dumps(own, sort_keys=True).encode()
    digests = hashlib.sha256(settings).hexdigest()[:12], data[:12]
    return dict(zip(MADE_WITH, (*digests, identity.numerics()), strict=True))


def read_or_make(
    path: Path, columns: Sequence[str], runs: Sequence[Mapping[str, str]]
) -> dict[int, dict[str, str]]:
    """Makes results.csv, or drops an incomplete last line of it; gives the rows by their run.

    Args:
        path: the file.
        columns: its columns.
        runs: what the row of each run has to hold, by column.

    Raises:
        ValueError: in one line, where a row is damaged, there twice, or of another sweep.
    """
    found: dict[int, dict[str, str]] = {}
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    complete = text[: text.rfind("\n") + 1] or ",".join(columns) + "\n"
    try:
        header, *lines = csv.reader(complete.split("\n")[:-1])
    except csv.Error as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    if header != list(columns):
        raise ValueError(f"{path}: not of this sweep: its columns are not {','.join(columns)}")
    for number, cells in enumerate(lines, start=2):
        try:
            row = dict(zip(columns, cells, strict=True))
            run = int(row["run"])
            expected = runs[run if run >= 0 else len(runs)]
            for name in OUTCOMES:
                float(row[name] or "nan")
        except (ValueError, IndexError):
            raise ValueError(f"{path}: line {number} is damaged, or of another sweep") from None
        if run in found:
            raise ValueError(f"{path}: run {run} is there twice")
        for name, here in expected.items():
            if row[name] != here:
                raise ValueError(
                    f"{path}: run {run} is of another sweep: its {name} is {row[name]}, and that "
                    f"of the sweep in {path.with_name(FLAGS_FILE)} {here}"
                )
        found[run] = row
    if complete != text:
        write_atomically(path, complete.encode())
    return found


def begin_curves(path: Path, kept: Collection[int]) -> None:
    """Makes curves.csv; of one that is there, keeps the lines of runs that results.csv holds.

    A run's lines are written before its row: killed in between, they are written again.
    """
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True) if path.exists() else []
    runs = set(map(str, kept))
    whole = [line for line in lines[1:] if line.endswith("\n") and line.partition(",")[0] in runs]
    write_atomically(path, "".join([",".join(CURVES) + "\n", *whole]).encode())
