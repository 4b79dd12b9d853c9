"""Digits that touch: paths down which a part may be cut, and which cuts the reader prefers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from digits_jax.recognition.parts import Part, connected, union

# Places where a part may be cut, and by how much a path may lean to either side, in heights.
MOST_CUTS = 8
LEAN = 0.16
# What a cut costs in logarithms of likeness: always, and for each width of a stroke it crosses.
CUT, CROSSED = 0.7, 0.12


class Cut(NamedTuple):
    """A path from top to bottom, the column in each row; and how much ink it crosses, in pixels."""

    columns: Int[np.ndarray, " h"]
    crossed: int


class Segments(NamedTuple):
    """A part and its pieces between any two of its cuts, or its sides (0, then one more a cut)."""

    cuts: list[Cut]
    ends: list[tuple[int, int]]
    pieces: list[Part]


def segments(part: Part, width: float) -> Segments:
    """All pieces of a part, with strokes of `width`, that may be a digit."""
    h, w = part.mask.shape
    cuts = candidates(part.mask, width)
    sides = [np.zeros(h, int), *(cut.columns for cut in cuts), np.full(h, w)]
    columns = np.arange(w)[None]
    ends, pieces = [], []
    for i, left in enumerate(sides):
        for j, right in enumerate(sides[i + 1 :], i + 1):
            if (i, j) == (0, len(sides) - 1):
                continue
            for shared in (0, round(0.8 * width)):  # a stroke at a cut may belong to both
                low, high = left[:, None] - shared * (i > 0), right[:, None] + shared
                inside = part.mask & (columns >= low) & (columns < high)
                found = connected(inside, 0.12 * inside.sum(), part.top, part.left)
                if not found:
                    continue
                piece = union(found)
                if piece.height >= 0.3 * h and width <= piece.width <= 1.4 * piece.height:
                    ends.append((i, j))
                    pieces.append(piece)
    return Segments(cuts, ends, pieces)


def candidates(mask: Bool[np.ndarray, "h w"], width: float) -> list[Cut]:
    """The paths that cross the least ink, from left to right.

    For each of some columns the cheapest path that stays near it; of neighbours the cheaper.
    """
    h, w = mask.shape
    margin, step = max(2, round(0.8 * width)), max(1, round(h / 20))
    starts = np.arange(margin, w - margin, step)
    if not len(starts):
        return []
    reach = max(2, round(LEAN * h))
    band = np.arange(-reach, reach + 1)
    at = starts[:, None] + band
    outside = (at < 1) | (at >= w - 1)
    ink = np.where(outside, 1e6, mask[:, np.clip(at, 0, w - 1)] + 1e-3 * np.abs(band))  # [h, n, b]
    total = ink.copy()
    for y in range(1, h):
        above = np.pad(total[y - 1], ((0, 0), (1, 1)), constant_values=1e9)
        aside = np.minimum(above[:, :-2], above[:, 2:]) + 0.02
        total[y] += np.minimum(above[:, 1:-1], aside)
    each, b = np.arange(len(starts)), total[-1].argmin(1)
    cost = total[-1].min(1)
    columns = np.empty((h, len(starts)), int)
    for y in range(h - 1, -1, -1):
        columns[y] = starts + b - reach
        if y:
            choice = np.stack(
                [total[y - 1, each, np.clip(b + d, 0, len(band) - 1)] for d in (-1, 0, 1)]
            )
            choice[[0, 2]] += 0.02
            b = np.clip(b + choice.argmin(0) - 1, 0, len(band) - 1)
    crossed = np.take_along_axis(mask, columns, 1).sum(0)
    kept: list[int] = []
    for k in np.argsort(cost, kind="stable"):
        far = all(np.abs(columns[:, k] - columns[:, other]).mean() > 0.07 * h for other in kept)
        if far and crossed[k] <= 5 * width and len(kept) < MOST_CUTS:
            kept.append(int(k))
    kept.sort(key=lambda k: columns[:, k].mean())
    return [Cut(columns[:, k], int(crossed[k])) for k in kept]


def best(
    found: Segments, alike: Sequence[float], whole: float, width: float
) -> list[tuple[Part, float]]:
    """The likeliest row of pieces, each with its likeness; empty if the whole is likelier.

    Args:
        found: what `segments` made of the part.
        alike: the likeness of each piece to a digit.
        whole: that of the part.
        width: of strokes.
    """
    last = len(found.cuts) + 1
    score = {0: 0.0}
    chosen: dict[int, int] = {}
    for k in sorted(range(len(found.ends)), key=lambda k: found.ends[k]):
        i, j = found.ends[k]
        if i not in score:
            continue
        cost = CUT + CROSSED * found.cuts[j - 1].crossed / width if j < last else 0.0
        value = score[i] + float(np.log(alike[k] + 1e-6)) - cost
        if j not in score or value > score[j]:
            score[j], chosen[j] = value, k
    if last not in chosen or score[last] <= np.log(whole + 1e-6):
        return []
    row, end = [], last
    while end:
        row.append((found.pieces[chosen[end]], alike[chosen[end]]))
        end = found.ends[chosen[end]][0]
    return row[::-1]
