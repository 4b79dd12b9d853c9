"""Pictures: any usual file to grey levels, or one line that says why not."""

import io
import math
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps
from scipy import ndimage

# Common ones first: Pillow loads further decoders when it comes to them.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
# Bounds the memory of one picture: what phones of 48 megapixels take is read.
MOST_PIXELS = 50_000_000
# Nothing smaller than this can hold a digit.
LEAST_SIDE = 8
STDIN = "-"
# Opaque pixels of a smaller standard deviation than this are of one colour.
PLAIN = 0.06
# Brightness as JPEG and Pillow define it (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Another direction has to vary so many times as much, in squares: black ink on white comes to 1.3.
COLOURFUL = 4.0

Source = str | os.PathLike[str] | bytes


class Picture(NamedTuple):
    """The grey levels of a picture, 0 black to 1 white, and the width and height of the file's.

    `margin` pixels of paper were added on each side.
    """

    grey: Float[np.ndarray, "h w"]
    size: tuple[int, int]
    margin: int = 0

    @property
    def without_margin(self) -> Float[np.ndarray, "h w"]:
        """The grey levels of the file alone."""
        inside = slice(self.margin, -self.margin or None)
        return np.asarray(self.grey[inside, inside])


def read(source: Source) -> Float[np.ndarray, "h w"]:
    """The grey levels of a picture, 0 black to 1 white, upright as its EXIF data say.

    Args:
        source: the path of a file, `-` for standard input, or the bytes of a file.

    Raises:
        ValueError: in one line, if it is no picture, damaged, animated, too large or too small.
        OSError: if the file cannot be read.
    """
    return open_picture(source).grey


def open_picture(source: Source, longest: int | None = None) -> Picture:
    """As `read`, and reduced by a whole number so that the longer side is about `longest` pixels.

    Reducing before the levels become floating point keeps 50 megapixels fast and small.

    Raises:
        ValueError, OSError: as `read`.
    """
    name = "picture" if isinstance(source, bytes) else as_line(os.fspath(source))
    content = _content(source, name)
    if not content:
        raise ValueError(f"{name}: the file is empty (0 bytes)")
    too_large = f"{name}: more than {MOST_PIXELS:,} pixels; reduce the picture first"
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ValueError(too_large) from None
    except Exception:  # decoders raise almost anything on damaged files
        known = "BMP, GIF, JPEG, PNG, PPM, TIFF or WebP"
        raise ValueError(f"{name}: not a picture, or damaged; expected {known}") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(too_large)
    if max(image.size) < LEAST_SIDE:
        raise ValueError(f"{name}: {image.width} x {image.height} pixels are too few for a digit")
    # The second image of a phone's MPO file is a preview or a depth map.
    frames = 1
    try:
        frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
        size, step = image.size, max(1, round(max(image.size) / (longest or math.inf)))
        if step >= 4:  # a JPEG is decoded at an eighth to a half of its size, which is faster
            image.draft(None, (2 * image.width // step, 2 * image.height // step))
            step = max(1, round(max(image.size) / (longest or math.inf)))
        with warnings.catch_warnings(action="ignore"):
            image.load()
            upright = ImageOps.exif_transpose(image)
            swapped = upright.size != image.size
            small = reduced(upright, step)
            levels = grey(small)
    except Exception:
        frames = max(frames, 1)
        if frames == 1:
            raise ValueError(f"{name}: damaged or truncated") from None
    if frames > 1:
        raise ValueError(f"{name}: {frames} pictures in one file; expected one")
    size = size[::-1] if swapped else size
    clear = small.has_transparency_data and np.asarray(small.convert("LA"))[..., 1].min() < 128
    if longest is None or not clear or levels.max() < 1:
        return Picture(levels, size)
    # A drawing that is cropped tightly shows too little of its paper.
    margin = max(levels.shape) // 5
    return Picture(np.pad(levels, margin, constant_values=1), size, margin)


def as_line(name: str) -> str:
    """A name in one line for people: what would not print, or steer a terminal, is escaped."""
    name = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _content(source: Source, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if os.fspath(source) == STDIN:
        return sys.stdin.buffer.read()
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            raise ValueError(f"{name}: a folder; expected a picture")
        if not path.exists():
            raise ValueError(f"{name}: no such file")
    except RuntimeError:  # of ~nobody
        raise ValueError(f"{name}: no such file") from None
    return path.read_bytes()


def reduced(image: Image.Image, step: int) -> Image.Image:
    """Means over squares of `step` pixels."""
    if step == 1 or image.mode.startswith(("I", "F")):
        return image
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.reduce((min(step, image.width), min(step, image.height)))


def grey(image: Image.Image) -> Float[np.ndarray, "h w"]:
    """The levels of an image of any mode, from 0 to 1, along which ink and paper differ."""
    if image.mode.startswith(("I", "F")):  # 16 or more bits, which Pillow would clip at 255
        levels = np.nan_to_num(np.asarray(image, np.float32))
        white = 65535 if image.mode.startswith("I") else max(levels.max(), 1e-6)
        return np.clip(levels / white, 0, 1)
    if image.mode not in ("1", "L", "LA", "I;16"):
        colours = np.asarray(image.convert("RGB"), np.float32) / 255
        direction = None if image.has_transparency_data else separating(colours)
        if direction is not None:
            levels = colours @ direction
            low, high = np.quantile(levels, (0.001, 0.999))
            return np.asarray(np.clip(0.1 + 0.8 * (levels - low) / max(high - low, 1e-6), 0, 1))
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), np.float32) / 255
    levels, opaque = np.moveaxis(np.asarray(image.convert("LA"), np.float32) / 255, 2, 0)
    if not opaque.any():
        return np.ones_like(levels)
    mean = np.average(levels, weights=opaque)
    if np.average((levels - mean) ** 2, weights=opaque) < PLAIN**2 and opaque.min() < 0.5:
        return np.asarray(1 - opaque)  # one colour: the drawing is what is opaque
    # A picture of its own gets more of its paper around it; a drawing gets what it contrasts with.
    paper = float(np.median(levels[opaque > 0.5]) if opaque.mean() > 0.5 else mean < 0.5)
    return np.asarray(levels * opaque + paper * (1 - opaque))


def separating(colours: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3"] | None:
    """The direction in colour along which neighbours differ most; `None` if that is brightness.

    The first principal component of the differences from the surroundings: ink and paper of one
    brightness and two hues differ along it, and their brightness is noise.
    """
    step = max(1, round(max(colours.shape) / 300))
    small = ndimage.uniform_filter(colours, (step, step, 1))[::step, ::step]
    side = max(small.shape) / 8
    apart = (small - ndimage.gaussian_filter(small, (side, side, 0))).reshape(-1, 3)
    covariance = apart.T @ apart / len(apart)
    brightness = LUMINANCE / np.linalg.norm(LUMINANCE)
    values, vectors = np.linalg.eigh(covariance)
    if values[-1] < COLOURFUL * (brightness @ covariance @ brightness + 1e-5):
        return None
    return np.asarray(vectors[:, -1] * (1 if vectors[:, -1].sum() >= 0 else -1))
