"""What is drawn around digits and is none: ruled lines, tables, boxes, rings, paper's edges."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from digits_jax.recognition.parts import EIGHT, Part, connected, stroke_width

# Slopes of lines that are tried: up to 7 degrees.
SLOPES = np.arange(-4, 5) * 0.03


def without_frames(parts: list[Part], shape: tuple[int, int], width: float) -> list[Part]:
    """Leaves out what is around digits, in a picture of `shape` with strokes of `width`."""
    parts = without_rings(parts, width)
    parts = without_lines(parts, shape, width)
    return without_edges(parts, shape, width)


def without_faint(
    parts: list[Part], contrast: Float[np.ndarray, "h w"], width: float
) -> list[Part]:
    """Leaves out what is much fainter than the rest: ruled lines, what shines through."""
    if not parts:
        return []
    dark = np.array(
        [np.percentile(contrast[p.top : p.bottom, p.left : p.right][p.mask], 75) for p in parts]
    )
    area = np.array([p.mask.sum() * (p.size > 2.5 * width) + 1e-6 for p in parts])
    order = np.argsort(dark)
    usual = dark[order][np.searchsorted(area[order].cumsum(), area.sum() / 2)]
    return [
        p
        for p, d in zip(parts, dark, strict=True)
        if d > (0.65 if is_stick(p, width) else 0.5) * usual
    ]


def encloses(a: Part, b: Part) -> bool:
    """Whether the box of `b` lies within that of `a`."""
    return a.top < b.top and a.left < b.left and a.bottom > b.bottom and a.right > b.right


def at_edge(a: Part, shape: tuple[int, int], margin: int = 1) -> bool:
    """Whether a part reaches the edge of the picture."""
    return (
        min(a.top, a.left) <= margin
        or a.bottom >= shape[0] - margin
        or a.right >= shape[1] - margin
    )


def text_height(parts: Sequence[Part], shape: tuple[int, int], width: float) -> float:
    """The usual height of what is neither at the picture's edge nor around something else.

    A median in which each counts by its height.
    """
    large = [p for p in parts if p.size > 2.5 * width]
    inner = [p for p in large if not any(encloses(p, q) for q in large)]
    whole = [p for p in inner if not at_edge(p, shape)]
    heights = np.sort([p.height for p in whole or inner or large or parts])
    weight = np.cumsum(heights)
    return float(heights[np.searchsorted(weight, weight[-1] / 2)]) if len(heights) else 0.0


def without_rings(parts: list[Part], width: float) -> list[Part]:
    """Replaces a closed line that has others inside by what is inside and touches it."""
    kept = []
    for a in parts:
        inside = [b for b in parts if encloses(a, b) and _is_large_in(b, a, width)]
        if inside:
            holes = ndimage.binary_fill_holes(a.mask) & ~a.mask
            inside = [b for b in inside if _within(b, a, holes)]
        if not inside:
            kept.append(a)
            continue
        labels, _ = ndimage.label(holes)
        largest = np.bincount(labels.ravel())[1:].max()
        if largest < 0.6 * holes.sum():
            kept.append(a)  # a table, not a ring
            continue
        depth = round(1.4 * stroke_width(a.mask)) + 1
        inner = ndimage.binary_erosion(holes | a.mask, EIGHT, iterations=depth) & a.mask
        height = np.median([b.height for b in inside])
        kept += [b for b in connected(inner, 1, a.top, a.left) if b.height > 0.5 * height]
    return kept


def _is_large_in(b: Part, a: Part, width: float) -> bool:
    return b.height >= 0.25 * a.height and b.size > 2.5 * width


def _within(b: Part, a: Part, holes: Bool[np.ndarray, "h w"]) -> bool:
    box = holes[b.top - a.top : b.bottom - a.top, b.left - a.left : b.right - a.left]
    return bool(box[b.mask].mean() > 0.5)


def without_lines(parts: list[Part], shape: tuple[int, int], width: float) -> list[Part]:
    """Takes straight, about level or upright lines out of what is a frame.

    Frames reach the edge of the picture, are around others, or are three times as large as digits.
    """
    height = text_height(parts, shape, width)
    kept, removed = [], np.zeros(shape, bool)
    cut = []
    for a in parts:
        frame = (
            at_edge(a, shape)
            or a.size > 3 * height
            or any(
                encloses(a, b) and b.size > 2.5 * width and b.height > 0.4 * height for b in parts
            )
        )
        lines = np.zeros_like(a.mask)
        if frame:
            for mask, out, side in ((a.mask, lines, shape[1]), (a.mask.T, lines.T, shape[0])):
                need = 1.6 * height
                if mask.shape[1] >= 0.97 * side:  # from edge to edge
                    need = min(need, 0.9 * side)
                if mask.shape[1] >= need:
                    out |= _lines(mask, need, width)
        if lines.any():
            lines |= _rungs(a.mask, lines, width) | _rungs(a.mask.T, lines.T, width).T
            removed[a.top : a.bottom, a.left : a.right] |= lines
            rest = a.mask & ~lines
            rest |= _bridged(rest, lines, width) | _bridged(rest.T, lines.T, width).T
            cut += connected(rest, 1, a.top, a.left)
        else:
            kept.append(a)
    near = ndimage.binary_dilation(removed, EIGHT, iterations=max(2, round(1.2 * width)))
    kept += [a for a in cut if a.size >= 0.5 * height]
    return [a for a in kept if not (is_stick(a, width) and _ends(a, near) == 2)]


def _rungs(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], width: float
) -> Bool[np.ndarray, "h w"]:
    """The thin upright strokes that are inked, but for gaps, from one level line to the next."""
    inked = ndimage.binary_dilation(mask, np.ones((1, 3)))
    found = np.zeros_like(mask)
    for column in np.flatnonzero(lines.any(0)):
        ends = np.flatnonzero(np.diff(lines[:, column].astype(np.int8), prepend=0, append=0))
        for top, bottom in zip(ends[1:-1:2], ends[2:-1:2], strict=True):
            if bottom - top > 4 * width and inked[top:bottom, column].mean() > 0.75:
                found[top:bottom, column] = True
    thick = ndimage.binary_opening(found, np.ones((1, round(2.5 * width) + 2)))
    return found & ~thick & mask


def is_stick(a: Part, width: float) -> bool:
    """Whether a part is one straight stroke, level or upright."""
    across = min(a.mask.shape)
    return a.size >= 4 * across or (across <= 1.6 * width and a.size >= 2 * across)


def _ends(a: Part, near: Bool[np.ndarray, "h w"]) -> int:
    """At how many of its two ends a stick comes near a line."""
    part = near[a.top : a.bottom, a.left : a.right]
    if a.height < a.width:
        part = part.T
    tip = max(1, len(part) // 10)
    return int(part[:tip].any()) + int(part[-tip:].any())


def _bridged(
    rest: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels of a line, about level, with a stroke right above and right below them."""
    h, w = rest.shape
    row, column = np.arange(h)[:, None], np.arange(w)[None]
    above = np.maximum.accumulate(np.where(lines, -1, row), 0)
    below = np.minimum.accumulate(np.where(lines, h, row)[::-1], 0)[::-1]
    across = lines & (above >= 0) & (below < h) & (below - above < 4 * width)
    over = across & rest[np.clip(above, 0, h - 1), column]
    under = across & rest[np.clip(below, 0, h - 1), column]
    aside = np.ones((1, 2 * max(1, round(width / 2)) + 1), bool)
    return (over & ndimage.binary_dilation(under, aside)) | (
        under & ndimage.binary_dilation(over, aside)
    )


def _lines(part: Bool[np.ndarray, "h w"], length: float, width: float) -> Bool[np.ndarray, "h w"]:
    """The pixels of straight strokes, about level, of at least `length`."""
    h, w = part.shape
    gap = 2 * round(width / 2) + 1
    found = np.zeros_like(part)
    thick = ndimage.binary_dilation(part, np.ones((3, 1)))
    for slope in SLOPES:
        shift = np.round(slope * (np.arange(w) - w / 2)).astype(int)
        pad = int(abs(shift).max())
        padded = np.pad(thick, ((pad, pad), (gap, gap)))
        shift = np.pad(shift, gap, "edge")[None]
        row, column = np.arange(h + 2 * pad)[:, None], np.arange(w + 2 * gap)[None]
        sheared = padded[np.clip(row + shift, 0, h + 2 * pad - 1), column]
        closed = ndimage.binary_closing(sheared, np.ones((1, gap)))
        runs = sheared & _long_runs(closed, int(0.95 * length))
        back = runs[np.clip(row - shift, 0, h + 2 * pad - 1), column]
        found |= back[pad : pad + h, gap : gap + w]
    # A line's ragged border belongs to it.
    return ndimage.binary_dilation(found, np.ones((3, 1))) & part


def _long_runs(mask: Bool[np.ndarray, "h w"], length: int) -> Bool[np.ndarray, "h w"]:
    """The pixels that lie in runs of at least `length` along rows; the outer columns are empty."""
    w = mask.shape[1]
    column = np.arange(w)[None]
    before = np.maximum.accumulate(np.where(mask, -1, column), 1)
    after = np.minimum.accumulate(np.where(mask, w, column)[:, ::-1], 1)[:, ::-1]
    return mask & (after - before - 1 >= length)


def without_edges(parts: list[Part], shape: tuple[int, int], width: float) -> list[Part]:
    """Leaves out what the picture's edge cuts, unless it has the size of the other digits."""
    if len(parts) == 1:
        return parts
    height = text_height(parts, shape, width)
    kept, sticks = [], []
    for a in parts:
        thin = min(a.mask.shape) <= 0.5 * width and a.size > 2 * width
        if thin:
            sticks.append(a)
        elif at_edge(a, shape):
            thick = 2 * ndimage.distance_transform_edt(np.pad(a.mask, 1)).max() > 3.5 * width
            if is_stick(a, width):
                sticks.append(a)
            elif not thick and 0.6 * height <= a.height <= 1.7 * height and a.width < 1.7 * height:
                kept.append(a)
        else:
            kept.append(a)
    # Pieces of a line that is cut elsewhere go with it.
    return [
        a for a in kept if not (is_stick(a, width) and any(_in_line(a, b, width) for b in sticks))
    ]


def _in_line(a: Part, b: Part, width: float) -> bool:
    tolerance = max(1.0, 0.5 * width)
    if a.height > a.width and b.height > b.width:
        return abs((a.left + a.right) - (b.left + b.right)) / 2 <= tolerance
    if a.height < a.width and b.height < b.width:
        return abs((a.top + a.bottom) - (b.top + b.bottom)) / 2 <= tolerance
    return False
