"""What is drawn around digits and is none: ruled lines, tables, boxes, rings, paper's edges."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from digits_jax.recognition.parts import EIGHT, Part, connected, stroke_width

# Slopes of lines that are tried: up to 7 degrees.
SLOPES = np.arange(-4, 5) * 0.03
# A digit in a ring is at least this high, of the hole; a dash or a tail in a zero is lower.
IN_RING = 0.48


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
    large = [p.size > 2.5 * width and not at_edge(p, contrast.shape) for p in parts]
    area = np.array([p.mask.sum() * (1e-6 + n) for p, n in zip(parts, large, strict=True)])
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
    """Replaces rings around digits by the digits and what touches them inside.

    What is smaller than a digit in a loop, such as a dash in a zero, is loose ink and left out.
    """
    kept, loose = [], []
    for a in parts:
        inside, small = _inside(a, [b for b in parts if encloses(a, b)])
        inside = [b for b in inside if b.size > 2.5 * width]
        if inside and not _is_table(a, inside, width):
            depth = round(1.4 * stroke_width(a.mask)) + 1
            filled = ndimage.binary_fill_holes(a.mask)
            inner = ndimage.binary_erosion(filled, EIGHT, iterations=depth) & a.mask
            least = 0.5 * np.median([b.height for b in inside])
            kept += [b for b in connected(inner, 1.0, a.top, a.left) if b.height > least]
        else:
            kept.append(a)
            if not inside:
                loose += [id(b) for b in small]
    return [a for a in kept if id(a) not in loose]


def _inside(a: Part, parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Those of `parts` that lie in a hole of `a`: as large as a digit in a ring, and smaller."""
    if not parts:
        return [], []
    labels, _ = ndimage.label(ndimage.binary_fill_holes(a.mask) & ~a.mask)
    holes = ndimage.find_objects(labels)
    inside: list[Part] = []
    small: list[Part] = []
    for b in parts:
        box = labels[b.top - a.top : b.bottom - a.top, b.left - a.left : b.right - a.left]
        hole = np.bincount(box[b.mask]).argmax()
        if hole:
            rows = holes[hole - 1][0]
            (inside if b.height >= IN_RING * (rows.stop - rows.start) else small).append(b)
    return inside, small


def _is_table(a: Part, inside: Sequence[Part], width: float) -> bool:
    """Whether much of a frame is straight lines, longer than digits and than arcs of a ring."""
    least = 1.6 * float(np.median([b.height for b in inside]))
    level, upright = (max(least, min(0.75 * side, 2 * least)) for side in (a.width, a.height))
    return bool(_straight(a.mask, level, upright, width).sum() > 0.2 * a.mask.sum())


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
            # From edge to edge a line may be shorter than that.
            level, upright = (
                min(1.6 * height, 0.9 * side) if length >= 0.97 * side else 1.6 * height
                for length, side in zip((a.width, a.height), shape[::-1], strict=True)
            )
            lines = _straight(a.mask, level, upright, width)
        if lines.any():
            lines |= _rungs(a.mask, lines, width)
            removed[a.top : a.bottom, a.left : a.right] |= lines
            rest = a.mask & ~lines
            rest |= _bridged(rest, lines, width) | _bridged(rest.T, lines.T, width).T
            cut += connected(rest, 1.0, a.top, a.left)
        else:
            kept.append(a)
    near = ndimage.binary_dilation(removed, EIGHT, iterations=max(2, round(1.2 * width)))
    # Where digits touch the lines of a grid, only what is left of it has the height of text.
    height = min(height, text_height([*kept, *cut], shape, width))
    kept += [a for a in cut if a.size >= 0.5 * height]
    return [a for a in kept if not (is_stick(a, width) and _ends(a, near) == 2)]


def is_stick(a: Part, width: float) -> bool:
    """Whether a part is one straight stroke, level or upright."""
    across = min(a.mask.shape)
    return bool(a.size >= 4 * across or (across <= 1.6 * width and a.size >= 2 * across))


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
    above, below = (a.T for a in around(~lines.T))
    column = np.arange(w)[None]
    across = lines & (above >= 0) & (below < h) & (below - above < 4 * width)
    over = across & rest[np.clip(above, 0, h - 1), column]
    under = across & rest[np.clip(below, 0, h - 1), column]
    aside = np.ones((1, 2 * max(1, round(width / 2)) + 1), bool)
    over, under = (
        one & ndimage.binary_dilation(other, aside) for one, other in ((over, under), (under, over))
    )
    return np.asarray(over | under)


def _straight(
    mask: Bool[np.ndarray, "h w"], level: float, upright: float, width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels of level and of upright lines that are at least so long."""
    found = np.zeros_like(mask)
    if mask.shape[1] >= level:
        found |= _at_slopes(_long_runs, mask, mask, level, width)
    if mask.shape[0] >= upright:
        found |= _at_slopes(_long_runs, mask.T, mask.T, upright, width).T
    return found


def _rungs(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], width: float
) -> Bool[np.ndarray, "h w"]:
    """Strokes across a frame, shorter than its lines, that go from one of them to the next."""
    if mask.shape[0] > mask.shape[1]:
        return _at_slopes(_between_lines, mask, lines, 4 * width, width)
    return _at_slopes(_between_lines, mask.T, lines.T, 4 * width, width).T


# From ink, lines, a length and the width of strokes to the pixels of what is level and straight.
Detect = Callable[
    [Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"], float, float], Bool[np.ndarray, "h w"]
]


def _at_slopes(
    detect: Detect,
    mask: Bool[np.ndarray, "h w"],
    lines: Bool[np.ndarray, "h w"],
    length: float,
    width: float,
) -> Bool[np.ndarray, "h w"]:
    """What is found at any slope: every column is moved up or down until that is level."""
    h, w = mask.shape
    found = np.zeros_like(mask)
    for slope in SLOPES:
        shift = np.round(slope * (np.arange(w) - w / 2)).astype(int)[None]
        pad = int(np.abs(shift).max())
        rows, columns = np.arange(h + 2 * pad)[:, None], np.arange(w)[None]
        there, back = (np.clip(rows + s, 0, len(rows) - 1) for s in (shift, -shift))
        level = [np.pad(a, ((pad, pad), (0, 0)))[there, columns] for a in (mask, lines)]
        found |= detect(level[0], level[1], length, width)[back, columns][pad : pad + h]
    # A line's ragged border belongs to it.
    return np.asarray(ndimage.binary_dilation(found, np.ones((3, 1))) & mask)


def _long_runs(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], length: float, width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels in rows of ink without gaps wider than a stroke, about `length` or longer."""
    gap = 2 * round(width / 2) + 1
    thick = np.pad(ndimage.binary_dilation(mask, np.ones((3, 1))), ((0, 0), (gap, gap)))
    closed = _filled(_filled(thick, gap, 1), gap, 1, shrink=True)
    before, after = around(~closed)
    return np.asarray(mask & (closed & (after - before > 0.95 * length))[:, gap:-gap])


def _between_lines(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], length: float, width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels in rows between two lines, `length` or more apart, of which most are ink."""
    before, after = around(lines)
    apart = after - before - 1
    inked = np.cumsum(ndimage.binary_dilation(mask, np.ones((3, 1))), axis=1)
    first, last = np.maximum(before, 0), np.minimum(after, mask.shape[1]) - 1
    share = np.take_along_axis(inked, last, 1) - np.take_along_axis(inked, first, 1)
    whole = (before >= 0) & (after < mask.shape[1]) & (apart > length)
    found = whole & ~lines & (share > 0.85 * apart)
    tall = 2 * round(1.25 * width) + 3
    thick = _filled(_filled(found, tall, 0, shrink=True), tall, 0)
    return np.asarray(found & ~thick)


def _filled(
    mask: Bool[np.ndarray, "h w"], length: int, axis: int, shrink: bool = False
) -> Bool[np.ndarray, "h w"]:
    """Dilation, or erosion, along an axis by an odd length, in time that does not grow with it."""
    extreme = ndimage.minimum_filter1d if shrink else ndimage.maximum_filter1d
    levels = extreme(mask.astype(np.uint8), length, axis=axis, mode="constant")
    return np.asarray(levels, bool)


def around(marks: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], ...]:
    """The columns of the nearest marks to the left and to the right; -1 and `w` without one."""
    column = np.arange(marks.shape[1])[None]
    before = np.maximum.accumulate(np.where(marks, column, -1), axis=1)
    after = np.where(marks, column, marks.shape[1])[:, ::-1]
    return before, np.minimum.accumulate(after, axis=1)[:, ::-1]


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
