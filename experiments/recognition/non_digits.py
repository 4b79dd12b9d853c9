"""Things that are no digits, drawn as MNIST's digits are: letters, scribbles, blocks, lines."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import CubicSpline

from digits_jax.recognition.normalise import normalise

SIDE = 120
# Without those that are written as a digit is: O, I, l, S, Z, B, g, q and b.
LETTERS = "ACDEFGHJKLMNPQRTUVWXYadefhkmnprtuvwxyÄßæ&%@#?*+="

Drawing = ImageDraw.ImageDraw


def letter(draw: Drawing, rng: np.random.Generator) -> None:
    """A letter of the font that comes with Pillow."""
    font = ImageFont.load_default(float(rng.integers(50, 80)))
    text = LETTERS[rng.integers(len(LETTERS))]
    draw.text((25, 15), text, 255, font=font, stroke_width=int(rng.integers(0, 4)))


def scribble(draw: Drawing, rng: np.random.Generator) -> None:
    """A smooth curve through points anywhere."""
    points = rng.uniform(20, 100, (rng.integers(4, 9), 2))
    curve = CubicSpline(range(len(points)), points)(np.linspace(0, len(points) - 1, 100))
    draw.line([tuple(map(float, point)) for point in curve], 255, width=int(rng.integers(5, 14)))


def block(draw: Drawing, rng: np.random.Generator) -> None:
    """A filled or an empty box."""
    (x, y), (w, h) = rng.integers(5, 30, 2), rng.integers(40, 85, 2)
    fill = 255 if rng.random() < 0.5 else 0
    draw.rectangle((int(x), int(y), int(x + w), int(y + h)), fill, 255, int(rng.integers(4, 12)))


def ruled(draw: Drawing, rng: np.random.Generator) -> None:
    """Ruled or squared lines."""
    width, both = int(rng.integers(3, 10)), rng.random() < 0.5
    for at in range(10, SIDE - 5, int(rng.integers(20, 45))):
        draw.line((5, at, SIDE - 5, at + int(rng.integers(-4, 5))), 255, width)
        if both:
            draw.line((at, 5, at, SIDE - 5), 255, width)


KINDS: dict[str, Callable[[Drawing, np.random.Generator], None]] = {
    "letters": letter,
    "scribbles": scribble,
    "boxes": block,
    "ruled lines": ruled,
}


def draw(kind: str, count: int, seed: int = 0) -> UInt8[np.ndarray, "count 28 28"]:
    """Images of a kind of `KINDS`, normalised as digits are."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        canvas = Image.new("L", (SIDE, SIDE))
        KINDS[kind](ImageDraw.Draw(canvas), rng)
        levels: Float[np.ndarray, "h w"] = np.asarray(canvas) / 255
        images.append(normalise(levels))
    return np.stack(images)
