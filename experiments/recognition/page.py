"""One HTML page of what was read: boxes on each picture, and each digit on its way to an answer."""

import base64
import io
from collections.abc import Iterable
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Float
from PIL import Image

from digits_jax.recognition import as_text
from digits_jax.recognition.pictures import Picture
from digits_jax.recognition.recognise import Digit, Seen
from digits_jax.reports.page import element, page

# Pixels: of a picture's longer side, of the sides of a digit's pictures, of the bars.
LONGEST = 1200
SIDE = 96
BARS, BAR, HIGH = 300, 30, 64
BLUE, ORANGE = "#3b82f6", "#e8710a"


def make(seen: Iterable[Seen]) -> str:
    """The page, which asks no other file and no host for anything."""
    about = (
        "Each digit as found in the picture, as cut out, as the network saw it, and the "
        "probabilities of all classes; ? where the network is not sure."
    )
    body = [element("h1", "Digits read"), element("p", about, class_="quiet")]
    return page("Digits read", [*body, *(section(picture) for picture in seen)])


def section(seen: Seen) -> Element:
    """A picture with its digits, or what is wrong with it."""
    parts = [element("h2", seen.name)]
    if seen.picture is not None:
        parts.append(marked(seen.picture, seen.digits))
    parts.append(
        element("p", seen.error, class_="note")
        if seen.error
        else element("p", as_text(seen.digits), style="font-size:1.5rem")
    )
    parts += [element("p", seen.note, class_="quiet")] if seen.note else []
    if seen.picture is not None:
        ways = (steps(seen.picture, number, d) for number, d in enumerate(seen.digits, 1))
        columns = "display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem"
        parts.append(element("div", *ways, style=columns))
    return element("section", *parts)


def marked(source: Picture, digits: list[Digit]) -> Element:
    """The picture with the boxes of its digits, and what they are read as."""
    (w, h), grey = source.size, source.without_margin
    thin = max(h, w) / 300
    marks = []
    for digit in digits:
        left, top, width, height = map(str, digit.box)
        box = {"x": left, "y": top, "width": width, "height": height}
        colour = ORANGE if digit.label == "?" else BLUE
        marks.append(element("rect", fill="none", stroke=colour, stroke_width=f"{thin:.2f}", **box))
        at = {"x": left, "y": f"{max(digit.box[1] - 1.5 * thin, 9 * thin):.1f}"}
        size = {"font-size": f"{10 * thin:.1f}", "font-weight": "bold", "fill": colour}
        marks.append(element("text", digit.label, **at, **size))
    picture = Image.fromarray(np.round(grey * 255).astype(np.uint8))
    picture.thumbnail((LONGEST, LONGEST))
    image = element("image", href=data_url(picture, "JPEG"), width=str(w), height=str(h))
    return element(
        "svg",
        image,
        *marks,
        viewBox=f"0 0 {w} {h}",
        role="img",
        aria_label=f"the picture, with the boxes of {len(digits)} digits",
        style="display:block;width:100%;max-height:80vh;background:#fff",
    )


def steps(source: Picture, number: int, digit: Digit) -> Element:
    """A digit as found, as cut out, as the network saw it, and what it made of it."""
    grey = source.without_margin
    scale = max(grey.shape) / max(source.size)
    left, top = (int(n * scale) for n in digit.box[:2])
    width, height = (max(1, round(n * scale)) for n in digit.box[2:])
    found = grey[top : top + height, left : left + width]
    pictures = {"as found": found * 255, "cut out": 255 - digit.ink * 255, "seen": digit.image}
    figures = [
        element(
            "div",
            element("img", src=squared(levels), alt=name, width=str(SIDE), height=str(SIDE)),
            element("div", name, class_="quiet"),
        )
        for name, levels in pictures.items()
    ]
    title = f"{number}. {digit.label}, line {digit.line + 1}, {digit.probability:.1%}"
    row = "display:flex;flex-wrap:wrap;gap:.75rem;align-items:flex-start"
    return element(
        "section",
        element("h3", title, style="margin:1.25rem 0 .25rem"),
        element("div", *figures, bars(digit), style=row),
    )


def bars(digit: Digit) -> Element:
    """The probability of each class as the height of a bar."""
    parts = []
    for label, p in enumerate(digit.probabilities):
        x, high = label * BAR, max(1.0, HIGH * float(p))
        box = {"x": f"{x + 4}", "y": f"{18 + HIGH - high:.1f}", "width": f"{BAR - 8}"}
        parts.append(element("rect", fill=BLUE, height=f"{high:.1f}", **box))
        middle = {"text-anchor": "middle", "fill": "currentColor", "x": f"{x + BAR / 2}"}
        parts.append(element("text", str(label), y=f"{HIGH + 36}", font_size="16", **middle))
        if p >= 0.01:
            share, y = f"{100 * p:.0f}", f"{14 + HIGH - high:.1f}"
            parts.append(element("text", share, y=y, font_size="14", **middle))
    size = {"width": str(BARS), "height": str(HIGH + 42)}
    return element("svg", *parts, role="img", aria_label="probabilities in percent", **size)


def squared(levels: Float[np.ndarray, "h w"] | np.ndarray) -> str:
    """A picture within a square, its pixels to be seen where they are few."""
    small = Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
    scale = 2 * SIDE / max(small.size)
    w, h = (max(1, round(n * scale)) for n in small.size)
    fitting = small.resize((w, h), Image.Resampling.BOX if scale > 1 else Image.Resampling.LANCZOS)
    square = Image.new("L", (2 * SIDE, 2 * SIDE), 128)
    square.paste(fitting, ((2 * SIDE - w) // 2, (2 * SIDE - h) // 2))
    return data_url(square, "PNG")


def data_url(image: Image.Image, kind: str) -> str:
    """A picture as an address that holds it."""
    file = io.BytesIO()
    image.save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
