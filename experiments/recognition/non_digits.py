"""Things that are not digits, and digits that MNIST hardly has, normalised as MNIST's are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from scipy.interpolate import CubicSpline

from digits_jax.data import Dataset
from digits_jax.recognition.normalise import normalise

SIDE = 120
# Without those that look like a digit: O, I, l, S, Z, B, g, q, b and, turned or slanted, J, T.
LETTERS = "ACDEFGHKLMNPRUVWXYadefhkmnprtuvwxyÄßæ&%@#?*$"
Strokes = list[list[Any]]  # of points, x and y
# Points of the strokes of each sign, x and y from 0 to 1. A slash is left out: it is a slanted 1.
SIGNS: dict[str, Strokes] = {
    "+": [[(0, 0.5), (1, 0.5)], [(0.5, 0), (0.5, 1)]],
    "x": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "-": [[(0, 0.5), (1, 0.5)]],
    "=": [[(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    "(": [[(0.45, 0), (0.18, 0.25), (0.1, 0.5), (0.18, 0.75), (0.45, 1)]],
    ")": [[(0, 0), (0.27, 0.25), (0.35, 0.5), (0.27, 0.75), (0, 1)]],
    "√": [[(0, 0.55), (0.1, 0.5), (0.3, 1), (0.45, 0), (1.2, 0)]],
    "<": [[(1, 0.1), (0, 0.5), (1, 0.9)]],
    ">": [[(0, 0.1), (1, 0.5), (0, 0.9)]],
    ":": [[(0.3, 0), (0.32, 0.02)], [(0.3, 1), (0.32, 1.02)]],
    ".": [[(0.5, 0.5), (0.56, 0.54)]],
    ",": [[(0.5, 0.4), (0.5, 0.6), (0.35, 0.8)]],
    "~": [[(0, 0.5), (0.25, 0.3), (0.75, 0.7), (1, 0.5)]],
}

Drawing = ImageDraw.ImageDraw
Ink = Float[np.ndarray, "h w"]
# Draws one example; digits of MNIST are what some are made of.
Kind = Callable[[np.random.Generator, Dataset], Ink]


def drawn(draw: Callable[[Drawing, np.random.Generator], None]) -> Kind:
    """A kind that is drawn on an empty canvas."""

    def kind(rng: np.random.Generator, digits: Dataset) -> Ink:
        canvas = Image.new("L", (SIDE, SIDE))
        draw(ImageDraw.Draw(canvas), rng)
        return np.asarray(canvas) / 255

    return kind


def pen(draw: Drawing, rng: np.random.Generator, strokes: Strokes) -> None:
    """Strokes through points from 0 to 1, each moved a little, upright or slanted."""
    width, slant, wide = int(rng.integers(4, 14)), rng.uniform(-0.1, 0.35), rng.uniform(0.7, 1.2)
    for stroke in strokes:
        points = np.array(stroke) + rng.normal(0, 0.025, (len(stroke), 2))
        x = 60 + 70 * (wide * (points[:, 0] - 0.5) + slant * (0.5 - points[:, 1]))
        line = np.stack([x, 25 + 70 * points[:, 1]], 1)
        draw.line([tuple(map(float, p)) for p in line], 255, width, "curve")
        for px, py in line[[0, -1]]:  # round ends
            draw.ellipse((px - width / 2, py - width / 2, px + width / 2, py + width / 2), 255)


def fonts(size: float) -> list[ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The font of Pillow, and those that matplotlib brings."""
    from matplotlib import font_manager

    families = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans:italic", "STIXGeneral:italic")
    paths = [font_manager.findfont(family) for family in families]
    return [ImageFont.load_default(size), *(ImageFont.truetype(path, size) for path in paths)]


def letter(draw: Drawing, rng: np.random.Generator) -> None:
    """A letter, or two or three that touch."""
    choice = fonts(float(rng.integers(45, 75)))
    text = "".join(LETTERS[rng.integers(len(LETTERS))] for _ in range(rng.choice([1, 1, 1, 2, 3])))
    font = choice[rng.integers(len(choice))]
    draw.text((15, 15), text, 255, font=font, stroke_width=int(rng.integers(0, 4)))


def sign(draw: Drawing, rng: np.random.Generator) -> None:
    """A sign of `SIGNS` in strokes of a pen."""
    names = list(SIGNS)
    pen(draw, rng, SIGNS[names[rng.integers(len(names))]])


def scribble(draw: Drawing, rng: np.random.Generator) -> None:
    """A smooth curve through points anywhere."""
    points = rng.uniform(20, 100, (rng.integers(4, 9), 2))
    curve = CubicSpline(range(len(points)), points)(np.linspace(0, len(points) - 1, 100))
    draw.line([tuple(map(float, point)) for point in curve], 255, width=int(rng.integers(5, 14)))


def block(draw: Drawing, rng: np.random.Generator) -> None:
    """A filled or an empty box, or a blot."""
    (x, y), (w, h) = rng.integers(5, 30, 2), rng.integers(40, 85, 2)
    box = int(x), int(y), int(x + w), int(y + h)
    if rng.random() < 0.3:
        draw.ellipse(box, 255)
    else:
        draw.rectangle(box, 255 if rng.random() < 0.5 else 0, 255, int(rng.integers(4, 12)))


def ruled(draw: Drawing, rng: np.random.Generator) -> None:
    """Ruled or squared lines."""
    width, both = int(rng.integers(3, 10)), rng.random() < 0.5
    for at in range(10, SIDE - 5, int(rng.integers(20, 45))):
        draw.line((5, at, SIDE - 5, at + int(rng.integers(-4, 5))), 255, width)
        if both:
            draw.line((at, 5, at, SIDE - 5), 255, width)


def one_of(rng: np.random.Generator, digits: Dataset, among: str) -> Ink:
    """A digit of MNIST, of one of the classes `among`, without its border."""
    while str(digits.labels[i := rng.integers(len(digits.labels))]) not in among:
        pass
    image = digits.images[i] / 255
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return np.asarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def part(rng: np.random.Generator, digits: Dataset) -> Ink:
    """A piece of a digit that is cut through, of a shape that no digit has."""
    while True:
        upright, first = rng.random() < 0.7, rng.random() < 0.5
        # Upright as where digits touch; level, not the loops of 6, 8 and 9, which are zeros.
        among = ("023456890" if first else "0256890") if upright else "235"
        ink = ndimage.zoom(one_of(rng, digits, among), 4, order=1)
        ink = np.clip(3 * (ink - 0.5) + 0.5, 0, 1)
        ink = ink if upright else ink.T
        at = round(ink.shape[1] * (rng.uniform(0.3, 0.55) if first else rng.uniform(0.45, 0.7)))
        ink = ink[:, :at] if first else ink[:, at:]
        ink = ink if upright else ink.T
        if ink.shape[1] >= 0.33 * ink.shape[0] and ink.sum() > 100:  # thin ones are ones
            return np.asarray(ink)


def pair(rng: np.random.Generator, digits: Dataset) -> Ink:
    """Two digits that touch or overlap a little."""
    left, right = (one_of(rng, digits, "0123456789") for _ in range(2))
    moved = int(rng.integers(-3, 4))
    overlap = int(rng.integers(0, 4))
    h = max(len(left), len(right)) + abs(moved)
    sheet = np.zeros((h, left.shape[1] + right.shape[1]))
    low, high = max(0, -moved), max(0, moved)
    sheet[low : low + len(left), : left.shape[1]] = left
    start = left.shape[1] - overlap
    area = sheet[high : high + len(right), start : start + right.shape[1]]
    np.maximum(area, right[: len(area)], out=area)
    return sheet


def turned(rng: np.random.Generator, digits: Dataset) -> Ink:
    """A digit that is turned so that it is none."""
    turns = int(rng.integers(1, 4))
    return np.rot90(one_of(rng, digits, "347" if turns == 2 else "2345679"), turns)


KINDS: dict[str, Kind] = {
    "letters": drawn(letter),
    "signs": drawn(sign),
    "scribbles": drawn(scribble),
    "boxes": drawn(block),
    "ruled lines": drawn(ruled),
    "parts": part,
    "pairs": pair,
    "turned": turned,
}


def flagged(draw: Drawing, rng: np.random.Generator) -> None:
    """A 1 with an upstroke, long or short, with or without a base, as Europeans write it."""
    angle, length = np.radians(rng.uniform(15, 65)), rng.uniform(0.12, 0.65)
    tip = 0.6 - length * np.sin(angle), length * np.cos(angle)
    bend = (tip[0] + 0.6) / 2, tip[1] / 2 - rng.uniform(-0.03, 0.05)
    strokes: Strokes = [[tip, bend, (0.6, 0), (0.6, 0.5), (0.6 + rng.uniform(-0.05, 0.03), 1)]]
    if rng.random() < 0.4:
        strokes.append([(0.6 - rng.uniform(0.1, 0.4), 1), (0.6 + rng.uniform(0.1, 0.4), 1)])
    pen(draw, rng, strokes)


def barred(draw: Drawing, rng: np.random.Generator) -> None:
    """A 7, mostly with a bar, as those write it who flag their ones."""
    left, foot = rng.uniform(-0.05, 0.2), rng.uniform(0.25, 0.5)
    strokes: Strokes = [
        [(left, rng.uniform(0, 0.06)), (0.45, 0.02), (0.8, 0), ((0.8 + foot) / 2, 0.5)]
    ]
    strokes[0].append((foot, 1))
    if rng.random() < 0.75:
        middle = (0.8 + foot) / 2
        strokes.append(
            [(middle - rng.uniform(0.15, 0.4), 0.5), (middle + rng.uniform(0.1, 0.3), 0.48)]
        )
    pen(draw, rng, strokes)


DIGITS: dict[int, Kind] = {1: drawn(flagged), 7: drawn(barred)}


def draw(
    kind: Kind, count: int, digits: Dataset, seed: int = 0
) -> UInt8[np.ndarray, "count 28 28"]:
    """Examples of a kind, normalised as digits are.

    Args:
        kind: of `KINDS` or `DIGITS`.
        count: how many.
        digits: of MNIST, of which parts, pairs and turned digits are made.
        seed: of the random choices.
    """
    rng = np.random.default_rng(seed)
    return np.stack([normalise(kind(rng, digits)) for _ in range(count)])
