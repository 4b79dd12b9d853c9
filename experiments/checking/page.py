"""What a check has found as one page: each array beside the right one, and their difference."""

import base64
import io
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from digits_jax.checking import Checked, Finding
from digits_jax.reports import drawing
from digits_jax.reports.page import element, page, section

TITLE = "Gradients, checked"
BESIDE = "display:flex;flex-wrap:wrap;gap:1rem"
PIXELS = "image-rendering:pixelated;width:9rem;height:9rem;object-fit:contain;object-position:left"


def make(found: Iterable[Checked]) -> str:
    """The page, which asks no other file and no host for anything.

    Raises:
        ValueError: in one line, if there is no matplotlib.
    """
    drawing.require()
    body = [element("h1", TITLE), element("p", "Red is positive, blue is negative, white is 0.")]
    for checked in found:
        parts = [_finding(finding) for finding in checked.findings]
        notes = [element("p", note) for note in checked.notes]
        body.append(section(checked.name, *parts, *notes))
    return page(TITLE, body)


def _finding(finding: Finding) -> Element:
    mark = "✓" if finding.ok else "✗"
    said = element("p", f"{mark} {str(finding).split('  ', 1)[1]}")
    if finding.ok or np.shape(finding.yours) != np.shape(finding.right):
        return said
    yours, right = (np.asarray(x, np.float64) for x in (finding.yours, finding.right))
    scale = max(np.abs(right).max(), np.abs(yours).max(), 1e-300)
    pictures = {"yours": yours, "right": right, "difference": yours - right}
    shown = [_picture(name, array, scale) for name, array in pictures.items()]
    return element("div", said, element("div", *shown, style=BESIDE))


def _picture(name: str, array: Any, scale: float) -> Element:
    from matplotlib.image import imsave

    png = io.BytesIO()
    flat = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
    imsave(png, flat, cmap="RdBu_r", vmin=-scale, vmax=scale, format="png")
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    label = f"{name}, {' x '.join(map(str, array.shape)) or 'a number'}"
    image = element("img", src=source, alt=label, style=PIXELS)
    return element("figure", image, element("figcaption", label), style="margin:0")
