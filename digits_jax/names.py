"""Names that somebody else chose, made safe for a terminal, a shell and a spreadsheet."""

import contextlib
import shlex

FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def shown(text: str) -> str:
    """Text for a terminal: on one line, with escapes such as \\x1b for what is not printable.

    So no name moves the cursor, changes colours, turns the direction of writing or adds a line.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def quoted(text: str) -> str:
    """A word for a shell, as in Bash's and Zsh's $'...' where it is not printable."""
    if text.isprintable():
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    return (
        "$'"
        + "".join(
            chr(b) if (b < 128 and chr(b).isalnum()) or b in b"/._-" else f"\\x{b:02x}" for b in raw
        )
        + "'"
    )


def cell(text: str) -> str:
    """A cell of a CSV file: what a spreadsheet would compute, and is not a number, follows a '."""
    with contextlib.suppress(ValueError):
        float(text)
        return text
    return f"'{text}" if text.startswith(FORMULAS) else text
