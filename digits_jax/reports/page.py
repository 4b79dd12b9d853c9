"""One HTML page that holds all it shows: no script, no other file, no other host."""

import base64
import struct
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

from digits_jax.reports.drawing import PIXELS_PER_INCH, WIDTH

TEMPLATE = Path(__file__).parent / "page.html"
# Of a browser, to an inch of a figure: fewer than the picture has, which keeps it sharp.
CSS_PIXELS_PER_INCH = 100


def page(title: str, body: Iterable[str]) -> str:
    """The page. `body` is HTML, as the other functions here make it; all else here is plain text.

    Returns:
        The HTML, which names no other file and no host.
    """
    template = Template(TEMPLATE.read_text("utf-8"))
    return template.substitute(title=escape(title), body="\n".join(body))


def heading(level: int, text: str) -> str:
    """A heading: level 1 is the page's, 2 a section's."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` may be `note`, to be noticed, or `quiet`, to be passed over."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], caption: str, words: bool = False
) -> str:
    """A table whose first column names its rows; a wide one scrolls within its own box.

    `words` aligns all columns to the left; numbers are aligned to the right.
    """
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    kind = ' class="words"' if words else ""
    return (
        f'<div class="box" tabindex="0" role="group" aria-label="{escape(caption)}">\n'
        f"<table{kind}>\n<caption>{escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n"
        "</table>\n</div>"
    )


def picture(png: bytes, description: str, caption: str) -> str:
    """A PNG picture of `figures`; one that is wider than usual scrolls within its own box.

    Args:
        png: the file.
        description: what it shows, for those who cannot see it.
        caption: how to read it.
    """
    scale = PIXELS_PER_INCH // CSS_PIXELS_PER_INCH
    width, height = (pixels // scale for pixels in struct.unpack(">II", png[16:24]))  # chunk IHDR
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    image = f'<img src="{source}" width="{width}" height="{height}" alt="{escape(description)}">'
    kind = ""
    if width > WIDTH * CSS_PIXELS_PER_INCH:
        kind = ' class="wide"'
        image = f'<div class="box" tabindex="0" role="group" aria-label="picture">{image}</div>'
    return f"<figure{kind}>{image}\n<figcaption>{escape(caption)}</figcaption></figure>"


def columns(parts: Iterable[str]) -> str:
    """Parts side by side where there is room, else one below the other."""
    return '<div class="columns">\n' + "\n".join(parts) + "\n</div>"


def part(*content: str) -> str:
    """Content that stays together, as one of `columns`."""
    return "<section>\n" + "\n".join(content) + "\n</section>"


def details(summary: str, *content: str) -> str:
    """Content that is folded away until it is asked for."""
    inner = "\n".join(content)
    return f"<details>\n<summary>{escape(summary)}</summary>\n{inner}\n</details>"
