"""Finds digits in a picture: where they are, in the order of reading, each as ink on paper.

Shape and distance cut and join too much in places; who reads the pieces has the last word, as in
heuristic over-segmentation (LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to
Document Recognition, 1998, section V).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from digits_jax.recognition import cuts
from digits_jax.recognition import ink as inks
from digits_jax.recognition.frames import without_faint, without_frames
from digits_jax.recognition.grid import without_grid
from digits_jax.recognition.parts import EIGHT, Part, connected, distance, gaps, stroke_width, union

# Thin strokes are looked at enlarged, and large pictures reduced to about this many pixels a side.
THIN = 3.5
LONGEST = 1000
# Strokes are no thicker than this share of the picture's longer side.
THICKEST = 0.45
# Noise has thousands of parts: the largest so many are looked at, and no more pairs than so many.
MOST_PARTS = 200
MOST_PAIRS = 200
MOST_DOUBTED = 12
# Two pieces are one digit if that gains so much in the logarithm of likeness, or, where they are
# narrower than two digits beside each other, loses no more.
GAIN = 0.1
# A part that looks less like a digit than this may be several that touch.
DOUBTED = 0.8


class Found(NamedTuple):
    """A digit: its box (left, top, width, height), the number of its line, its ink."""

    box: tuple[int, int, int, int]
    line: int
    ink: Float[np.ndarray, "h w"]


class Mark(NamedTuple):
    """A point "." or a dash "-", and its box."""

    text: str
    box: tuple[int, int, int, int]


# How much each of several pieces of ink looks like a digit, the larger the more.
Likeness = Callable[[Sequence[Float[np.ndarray, "_ _"]]], Float[np.ndarray, " n"]]


def find(
    contrast: Float[np.ndarray, "h w"], likeness: Likeness, scale: float = 1.0
) -> tuple[list[Found], list[Float[np.ndarray, "_ _"]], list[Mark]]:
    """The digits of a picture, lines from top to bottom, each from left to right.

    Args:
        contrast: of ink with its paper, as `ink.ink` gives it.
        likeness: decides which pieces are one digit, and where digits that touch are cut.
        scale: the pixels of the picture for one of `contrast`, for the boxes.

    Returns:
        The digits, the ink of the parts before any was cut, and points and dashes.
    """
    width = stroke_width(contrast > inks.otsu(contrast))
    enlarged = 2 if width < THIN and 4 * contrast.size <= LONGEST**2 else 1
    if enlarged > 1:
        contrast = ndimage.zoom(contrast, enlarged, order=3, mode="nearest", grid_mode=True)
        contrast = np.clip(contrast, 0, 1)
    mask = inks.strokes(contrast, width * enlarged)
    mask = without_grid(mask)
    width = stroke_width(mask)
    if width > THICKEST * max(mask.shape):  # a black picture, or one that is half black
        return [], [], []
    parts = connected(mask, max(3.0, 0.4 * width**2))
    if len(parts) > MOST_PARTS:
        parts = sorted(parts, key=lambda p: p.mask.sum())[-MOST_PARTS:]
    parts = without_faint(parts, contrast, width)
    parts = without_frames(parts, mask.shape, width)
    soft = inks.soft(contrast, width)
    whole = joined(parts, width)
    pieces, alike = by_likeness(whole, soft, width, likeness)
    digits = without_dots(pieces, alike, width)
    marks = [
        Mark("-" if p.width >= 1.8 * p.height else ".", _box(p, scale / enlarged))
        for p in pieces
        if not any(p is d for d in digits) and (p.width >= 1.8 * p.height or p.size < 3 * width)
    ]
    return (
        [
            Found(_box(digit, scale / enlarged), line, _cut(soft, digit))
            for line, members in enumerate(in_lines(digits))
            for digit in members
        ],
        [_cut(soft, part) for part in whole],
        marks,
    )


def _box(digit: Part, scale: float) -> tuple[int, int, int, int]:
    left, top = int(digit.left * scale), int(digit.top * scale)
    return left, top, round(digit.right * scale) - left, round(digit.bottom * scale) - top


def _cut(soft: Float[np.ndarray, "h w"], digit: Part) -> Float[np.ndarray, "h2 w2"]:
    """The ink of a digit with a border of one pixel, and nobody else's."""
    padded = np.pad(soft, 1)[digit.top : digit.bottom + 2, digit.left : digit.right + 2]
    return np.asarray(padded * ndimage.binary_dilation(np.pad(digit.mask, 1), EIGHT))


def joined(parts: list[Part], width: float) -> list[Part]:
    """Joins the pieces of broken digits, the nearest first."""
    heights = [p.height for p in parts if p.size > 2.5 * width] or [p.height for p in parts]
    if not heights:
        return []
    ordered = np.sort(heights)
    height = float(ordered[np.searchsorted(ordered.cumsum(), ordered.sum() / 2)])
    parts = list(parts)
    costs = {
        (i, j): cost
        for i, j in _facing(parts, max(1.2 * width, 0.2 * height))
        if (cost := join_cost(parts[i], parts[j], width, height)) is not None
    }
    alive = set(range(len(parts)))
    while costs:
        i, j = min(costs, key=costs.__getitem__)
        parts.append(union([parts[i], parts[j]]))
        alive -= {i, j}
        costs = {pair: cost for pair, cost in costs.items() if not {i, j} & set(pair)}
        new = len(parts) - 1
        for k in alive:
            cost = join_cost(parts[new], parts[k], width, height)
            if cost is not None:
                costs[new, k] = cost
        alive.add(new)
    return [parts[i] for i in sorted(alive)]


def _facing(parts: Sequence[Part], reach: float | None = None) -> list[tuple[int, int]]:
    """The pairs, later first, whose boxes are no farther apart than `reach`.

    Without it, than `near` can allow: 0.3 of 1.9 times the height of the higher one.
    """
    top, left, bottom, right = np.array([(p.top, p.left, p.bottom, p.right) for p in parts]).T
    gap_y = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    gap_x = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    high = np.maximum((bottom - top)[:, None], bottom - top)
    most = 0.6 * high if reach is None else reach
    i, j = np.nonzero(np.tril(np.maximum(gap_y, gap_x) <= most, -1))
    return list(zip(i.tolist(), j.tolist(), strict=True))


def join_cost(a: Part, b: Part, width: float, height: float) -> float | None:
    """The distance of two pieces of one digit; `None` where they are not of one.

    Args:
        a: a part.
        b: another.
        width: of strokes.
        height: of digits.
    """
    if a.height < b.height:
        a, b = b, a
    reach = max(1.2 * width, 0.2 * height)
    gap_y, gap_x = gaps(a, b)
    if max(gap_y, gap_x) > reach:
        return None
    high = max(a.bottom, b.bottom) - min(a.top, b.top)
    wide = max(a.right, b.right) - min(a.left, b.left)
    gap = distance(a, b)
    close = gap <= 0.6 * width
    if gap > reach or high > max((1.8 if close else 1.25) * height, 1.1 * a.height):
        return None
    if wide > max(1.2 * height, 1.3 * a.width, high if close else 0):
        return None
    beside = -gap_x / min(a.width, b.width)
    if b.height < 0.55 * a.height:
        if b.size < 2.5 * width:  # a dot, unless it nearly touches
            return gap if close else None
        return gap if gap <= 1.2 * width or beside > 0.5 else None
    return gap if beside > 0.5 or (close and beside > 0.2) else None


def by_likeness(
    digits: list[Part], soft: Float[np.ndarray, "h w"], width: float, likeness: Likeness
) -> tuple[list[Part], list[float]]:
    """Joins neighbours and cuts parts where that looks more like digits; gives their likeness too.

    Each round reads only pieces that no earlier round has read, all at once.
    """

    def read(pieces: Sequence[Part]) -> list[float]:
        return likeness([_cut(soft, p) for p in pieces]).tolist() if pieces else []

    alike = read(digits)
    unions: dict[tuple[int, int], tuple[Part, float]] = {}
    alive = list(range(len(digits)))
    new = alive
    while new:
        facing = [(alive[i], alive[j]) for i, j in _facing([digits[k] for k in alive])]
        pairs = [p for p in facing if set(new) & set(p) and near(digits[p[0]], digits[p[1]])]
        pairs = pairs[:MOST_PAIRS]
        wholes = [union([digits[i], digits[j]]) for i, j in pairs]
        unions |= dict(zip(pairs, zip(wholes, read(wholes), strict=True), strict=True))
        new = []
        while gains := {pair: _gain(*unions[pair], *(alike[k] for k in pair)) for pair in unions}:
            best = max(gains, key=gains.__getitem__)
            if gains[best] <= 0:
                break
            whole, value = unions[best]
            unions = {pair: u for pair, u in unions.items() if not set(best) & set(pair)}
            alive = [k for k in alive if k not in best] + [len(digits)]
            new.append(len(digits))
            digits, alike = [*digits, whole], [*alike, value]
    doubted = [k for k in alive if alike[k] < DOUBTED]
    # Where most parts are no digits, they are letters or upside down, and not digits that touch.
    if len(alive) > 10 and sum(alike[k] < 0.5 for k in alive) > len(alive) / 2:
        doubted = []
    found = {k: cuts.segments(digits[k], width) for k in doubted[:MOST_DOUBTED]}
    values = iter(read([piece for f in found.values() for piece in f.pieces]))
    kept: list[tuple[Part, float]] = []
    for k in alive:
        pieces = [*itertools.islice(values, len(found[k].pieces))] if k in found else []
        kept += (pieces and cuts.best(found[k], pieces, alike[k], width)) or [(digits[k], alike[k])]
    return [part for part, _ in kept], [value for _, value in kept]


def _gain(whole: Part, together: float, one: float, other: float) -> float:
    """What two parts gain in the logarithm of likeness by being one."""
    least = -GAIN if whole.width < 0.85 * whole.height else GAIN
    apart = np.log(np.array([one, other]) + 1e-6).mean()
    return float(np.log(together + 1e-6) - apart - least)


def near(a: Part, b: Part) -> bool:
    """Whether two parts, neither a dot, may be pieces of one digit."""
    whole, height = union([a, b]), max(a.height, b.height)
    reach = 0.3 * whole.height
    return (
        min(a.size, b.size) >= 0.4 * height
        and whole.height <= 1.9 * height
        and whole.width <= 2 * whole.height
        and max(gaps(a, b)) <= reach
        and distance(a, b) <= reach
    )


def without_dots(digits: list[Part], alike: list[float], width: float) -> list[Part]:
    """Leaves out points, commas and dashes: what is small beside the others and no clear digit."""
    heights = [d.height for d in digits if d.size > 2.5 * width]
    if not heights:
        return digits if len(digits) == 1 else []
    height = np.median(heights)
    return [
        d
        for d, likely in zip(digits, alike, strict=True)
        if d.height >= 0.5 * height
        or (d.height >= 0.25 * height and d.width >= 0.4 * d.height and likely > DOUBTED)
    ]


def in_lines(digits: list[Part]) -> list[list[Part]]:
    """Lines from top to bottom, each from left to right.

    From left to right, a digit goes on the line whose last digit is nearest among those that are
    about as high, or on a new one.
    """
    chains: list[list[Part]] = []
    for d in sorted(digits, key=lambda d: d.left + d.right):
        costs = []
        for number, chain in enumerate(chains):
            dy = abs(d.top + d.bottom - chain[-1].top - chain[-1].bottom) / 2
            dx = abs(d.left + d.right - chain[-1].left - chain[-1].right) / 2
            low, high = sorted([d.height, chain[-1].height])
            beside = -gaps(d, chain[-1])[0] > 0.3 * low
            if beside or (dy < 0.75 * high and dy < 1.2 * dx):
                costs.append((dy + 0.3 * dx, number))
        if costs:
            chains[min(costs)[1]].append(d)
        else:
            chains.append([d])
    return sorted(chains, key=lambda chain: np.mean([d.top + d.bottom for d in chain]))
