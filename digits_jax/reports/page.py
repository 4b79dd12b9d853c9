"""One HTML page that holds all it shows: no other file, no other host.

Its only script sorts tables by the column whose head is pressed.
"""

import base64
import math
import statistics
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from digits_jax.reports import drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).parent / "page.html"
# Of a browser, to an inch of a figure: fewer than the picture has, which keeps it sharp.
CSS_PIXELS_PER_INCH = 100


class Picture(Element):
    """An `img` element that keeps its figure, and the name of the file that it may become."""

    name: str
    figure: "Figure"


def page(title: str, body: Iterable[Element]) -> str:
    """The page, which names no other file and no host."""
    html = [ElementTree.tostring(part, encoding="unicode", method="html") for part in body]
    template = Template(TEMPLATE.read_text("utf-8"))
    return template.substitute(title=escape(title), body="\n".join(html))


def element(tag: str, *content: str | Element, **attributes: str) -> Element:
    """An HTML element: its text, which may be anything, and the elements that follow the text.

    Attributes are named as Python can: `class_`, `aria_label`.
    """
    made = Element(tag, {name.strip("_").replace("_", "-"): v for name, v in attributes.items()})
    made.text = "".join(part for part in content if isinstance(part, str))
    made.extend(part for part in content if not isinstance(part, str))
    return made


def section(title: str, *content: Element, level: int = 2) -> Element:
    """Content under a heading: level 2 is the page's parts, 3 what a part puts side by side."""
    return element("section", element(f"h{level}", title), *content)


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], caption: str, words: bool = False
) -> Element:
    """A table whose first column names its rows; a wide one scrolls within its own box.

    `words` aligns all columns to the left; numbers are aligned to the right.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    lines = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    parts = element("caption", caption), element("thead", head), element("tbody", *lines)
    return _box(element("table", *parts, class_="words" if words else "numbers"), caption)


def percent(share: float, count: int) -> str:
    """A share of `count` in per cent, without digits that a single one more would change."""
    if math.isnan(share):
        return "undefined"
    return f"{share:.{min(2, max(0, math.ceil(math.log10(count)) - 2))}%}"


def mean_and_deviation(values: Sequence[float], unit: str = "") -> str:
    """Mean ± sample standard deviation, to two digits of it: the others are uncertain."""
    if not values:
        return "none"
    mean, unit = sum(values) / len(values), unit and f" {unit}"
    if len(values) == 1:
        return f"{mean:.4g}{unit}"
    deviation = statistics.stdev(values)
    places = max(0, 1 - math.floor(math.log10(deviation))) if deviation > 1e-12 else 2
    return f"{mean:,.{places}f} ± {deviation:.{places}f}{unit}"


def picture(name: str, figure: "Figure", description: str, caption: str) -> Element:
    """A figure as an SVG picture; one that is wider than usual scrolls within its own box.

    Args:
        name: of the file that it may become.
        figure: what is shown.
        description: what it shows, for those who cannot see it.
        caption: how to read it.
    """
    width, height = (round(CSS_PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    image = Picture("img", width=str(width), height=str(height), alt=description)
    image.set("src", f"data:image/svg+xml;base64,{base64.b64encode(drawing.svg(figure)).decode()}")
    image.name, image.figure = name, figure
    wide = width > drawing.WIDTH * CSS_PIXELS_PER_INCH
    return element(
        "figure",
        _box(image, "picture") if wide else image,
        element("figcaption", caption),
        class_="wide" if wide else "usual",
    )


def _box(content: Element, label: str) -> Element:
    return element("div", content, class_="box", tabindex="0", role="group", aria_label=label)
