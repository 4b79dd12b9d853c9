"""flags.txt: the flags of a run or a sweep, a line each, as `--flagfile` reads them."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from digits_jax.config import Config
from digits_jax.runs.files import write_atomically


def of_config(config: Config) -> list[str]:
    """The flags of a Config; those that are not set are left out."""
    lines = []
    for name, value in vars(config).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        lines += [] if text is None else [f"--{name}={text}"]
    return lines


def check(lines: Iterable[str]) -> None:
    """Checks that flags come back as they are.

    Raises:
        ValueError: in one line, where one holds a line break, or ends with a blank.
    """
    for line in lines:
        if re.search(r"[\n\r]|\s$", line):
            raise ValueError(
                f"{line!r}: flags.txt cannot hold a line break, or a blank at the end of a value: "
                "rename what it names"
            )


def write(path: Path, lines: Iterable[str]) -> None:
    """Writes flags.txt.

    Raises:
        ValueError: as `check`.
        OSError: it cannot be written; an earlier file stays.
    """
    check(lines := list(lines))
    text = "".join(f"{line}\n" for line in lines)
    write_atomically(path, text.encode("utf-8", "surrogateescape"))


def read(path: Path) -> list[str]:
    """Reads flags.txt. Only \\n ends a line: other separators may stand in a name.

    Raises:
        ValueError: in one line, where it is damaged.
        OSError: it cannot be read.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    *lines, rest = (line.removesuffix("\r") for line in text.split("\n"))
    whole = not rest and any(line.startswith("--seed=") for line in lines)  # every script has it
    if not whole or not all(line.startswith(("--", "#")) for line in lines):
        raise ValueError(f"{path} is damaged: it does not hold all flags, a line each")
    return lines


def config(lines: Iterable[str]) -> Config:
    """The Config that the lines spell out, among which may be other flags of the script.

    Raises:
        ValueError: in one line, where a value is not valid.
    """
    given = dict(line[2:].split("=", 1) for line in lines if "=" in line)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        if field.name in given:
            text = given[field.name]
            kinds: dict[Any, Any] = {int: int, float: float, bool: "True".__eq__}
            kind = kinds.get(field.type, str)
            listed = isinstance(field.default, tuple)
            values[field.name] = tuple(filter(None, text.split(","))) if listed else kind(text)
    return Config(**values)
