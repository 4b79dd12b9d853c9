"""Finds digits in a picture: where they are, in the order of reading, each as ink on paper.

Shape and distance cut and join too much in places; who reads the pieces has the last word, as in
heuristic over-segmentation (LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to
Document Recognition, 1998, section V).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from digits_jax.recognition import ink as inks
from digits_jax.recognition.frames import without_faint, without_frames
from digits_jax.recognition.parts import EIGHT, Part, connected, distance, gaps, stroke_width, union

# Thin strokes are looked at enlarged, and large pictures reduced to about this many pixels a side.
THIN = 3.0
LONGEST = 1000
# Of noise, which has thousands of parts, the largest so many are looked at.
MOST_PARTS = 500

# Pieces are one digit where that gains so much likeness or, where they are narrower than two digits
# beside each other, loses no more. Of 0, 0.05 and 0.1 the one with the fewest errors on pairs of
# MNIST's training images.
GAIN = 0.1


class Found(NamedTuple):
    """A digit: its box (left, top, width, height), the number of its line, its ink."""

    box: tuple[int, int, int, int]
    line: int
    ink: Float[np.ndarray, "h w"]


# How much each of several pieces of ink looks like a digit, the larger the more.
Likeness = Callable[[Sequence[Float[np.ndarray, "_ _"]]], Float[np.ndarray, " n"]]


def find(grey: Float[np.ndarray, "h w"], likeness: Likeness | None = None) -> list[Found]:
    """The digits of a picture, lines from top to bottom, each from left to right.

    Args:
        grey: from 0, black, to 1, white; ink may be darker or lighter than what it is on.
        likeness: decides whether neighbours are pieces of one digit; without it, they are not.
    """
    whole, grey = grey, inks.reduced(grey, LONGEST) if max(grey.shape) > LONGEST else grey
    contrast = inks.ink(grey)
    width = stroke_width(contrast > inks.otsu(contrast))
    scale = 2 if width < THIN and 4 * grey.size <= LONGEST**2 else 1
    if scale > 1:
        contrast = ndimage.zoom(contrast, scale, order=3, mode="nearest", grid_mode=True)
        contrast = np.clip(contrast, 0, 1)
    mask = inks.strokes(contrast, width * scale)
    width = stroke_width(mask)
    parts = connected(mask, max(3.0, 0.4 * width**2))
    if len(parts) > MOST_PARTS:
        parts = sorted(parts, key=lambda p: p.mask.sum())[-MOST_PARTS:]
    parts = without_faint(parts, contrast, width)
    parts = without_frames(parts, mask.shape, width)
    digits = joined(parts, width)
    digits = [d for part in digits for d in split(part, width)]
    soft = inks.soft(contrast, width)
    if likeness:
        digits = rejoined(digits, soft, likeness)
    digits = without_dots(digits, width)
    return [
        Found(_box(digit, whole.shape[1] / contrast.shape[1]), line, _cut(soft, digit))
        for line, members in enumerate(in_lines(digits))
        for digit in members
    ]


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
        for i in range(len(parts))
        for j in range(i)
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


def split(part: Part, width: float) -> list[Part]:
    """Cuts what is clearly wider than high where a path down it meets one stroke only."""
    h, w = part.mask.shape
    margin = max(3, round(2.5 * width))
    if upright_width(part.mask) < 1.25 * h or w < 2 * margin + 3:
        return [part]
    column = cheapest_path(part.mask, margin)
    side = np.arange(w)[None] < column[:, None]
    crossed = part.mask[np.arange(h), column].sum()
    halves = [
        max(connected(part.mask & half, 1.0, part.top, part.left), key=lambda p: p.mask.sum())
        for half in (side, ~side)
    ]
    digits = all(p.height >= 0.3 * h and p.size >= 4 * width and p.width >= width for p in halves)
    if crossed > 1.6 * width or not digits:
        return [part]
    return [d for half in halves for d in split(half, width)]


def rejoined(digits: list[Part], soft: Float[np.ndarray, "h w"], likeness: Likeness) -> list[Part]:
    """Joins neighbours that look more like a digit together than apart, the surest first."""
    while pairs := [
        (i, j) for i in range(len(digits)) for j in range(i) if near(digits[i], digits[j])
    ]:
        wholes = [union([digits[i], digits[j]]) for i, j in pairs]
        alike = likeness([_cut(soft, d) for d in digits + wholes])
        least = [-GAIN if w.width < 0.85 * w.height else GAIN for w in wholes]
        gain = alike[len(digits) :] - alike[np.array(pairs)].mean(1) - least
        best = int(gain.argmax())
        if gain[best] <= 0:
            break
        digits = [d for i, d in enumerate(digits) if i not in pairs[best]] + [wholes[best]]
    return digits


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


def upright_width(mask: Bool[np.ndarray, "h w"]) -> float:
    """The width that is left when a slant is taken out: of x without its regression on y."""
    y, x = np.nonzero(mask)
    dy, dx = y - y.mean(), x - x.mean()
    upright = dx - dy * (dx @ dy) / max(dy @ dy, 1)
    return float(np.ptp(upright)) + 1


def cheapest_path(mask: Bool[np.ndarray, "h w"], margin: int) -> Int[np.ndarray, " h"]:
    """The column in each row of a path from top to bottom that meets the least ink."""
    h, w = mask.shape
    cost = np.where(mask, 1.0, 1e-3)
    cost[:, :margin] = cost[:, w - margin :] = np.inf
    total = cost.copy()
    for y in range(1, h):
        above = np.pad(total[y - 1], 1, constant_values=np.inf)
        total[y] += np.minimum(above[1:-1], np.minimum(above[:-2], above[2:]) + 1e-2)
    column = np.zeros(h, int)
    column[-1] = total[-1].argmin()
    for y in range(h - 1, 0, -1):
        x = column[y]
        column[y - 1] = x - 1 + (total[y - 1, x - 1 : x + 2] + [1e-2, 0, 1e-2]).argmin()
    return column


def without_dots(digits: list[Part], width: float) -> list[Part]:
    """Leaves out points, commas and dashes: what is small beside the others and not open."""
    heights = [d.height for d in digits if d.size > 2.5 * width]
    if not heights:
        return digits if len(digits) == 1 else []
    height = np.median(heights)
    return [
        d
        for d in digits
        if d.height >= 0.5 * height
        or (d.height >= 0.25 * height and min(d.mask.shape) >= 2.2 * width and d.mask.mean() < 0.7)
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
