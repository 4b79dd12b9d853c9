"""Pictures: any usual file to grey levels, or one line that says why not."""

import io
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

# Common ones first: Pillow loads further decoders when it comes to them.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
# Bounds the memory of one picture: what phones of 48 megapixels take is read.
MOST_PIXELS = 50_000_000
# Nothing smaller than this can hold a digit.
LEAST_SIDE = 8
STDIN = "-"

Source = str | os.PathLike[str] | bytes


def read(source: Source) -> Float[np.ndarray, "h w"]:
    """The grey levels of a picture, 0 black to 1 white, upright as its EXIF data say.

    Args:
        source: the path of a file, `-` for standard input, or the bytes of a file.

    Raises:
        ValueError: in one line, where it is no picture, damaged, animated, too large or too small.
        OSError: where the file cannot be read.
    """
    name = "picture" if isinstance(source, bytes) else os.fspath(source)
    content = _content(source)
    if not content:
        raise ValueError(f"{name}: empty, 0 bytes")
    too_large = f"{name}: more than {MOST_PIXELS:,} pixels; reduce it first"
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ValueError(too_large) from None
    except Exception:  # decoders raise almost anything on damaged files
        known = "BMP, GIF, JPEG, PNG, PPM, TIFF or WebP"
        raise ValueError(f"{name}: not a picture, or damaged: expected {known}") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(too_large)
    if max(image.size) < LEAST_SIDE:
        raise ValueError(f"{name}: {image.width} x {image.height} pixels are too few for a digit")
    try:
        # The second image of a phone's MPO file is a preview or a depth map.
        frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
        if frames > 1:
            raise ValueError(f"{name}: {frames} pictures in one file: expected one")
        with warnings.catch_warnings(action="ignore"):
            image.load()
            return grey(ImageOps.exif_transpose(image))
    except Exception as error:
        if "pictures in one file" in str(error):
            raise
        raise ValueError(f"{name}: damaged or truncated") from None


def _content(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source
    if os.fspath(source) == STDIN:
        return sys.stdin.buffer.read()
    path = Path(source).expanduser()
    if path.is_dir():
        raise ValueError(f"{source}: a folder, expected a picture")
    if not path.exists():
        raise ValueError(f"{source}: no such file")
    return path.read_bytes()


def grey(image: Image.Image) -> Float[np.ndarray, "h w"]:
    """The luminance of an image of any mode, from 0 to 1."""
    if image.mode.startswith(("I", "F")):  # 16 or more bits, which Pillow would clip at 255
        levels = np.nan_to_num(np.asarray(image, np.float32))
        white = 65535 if image.mode.startswith("I") else max(levels.max(), 1e-6)
        return np.clip(levels / white, 0, 1)
    if not image.has_transparency_data:
        return np.asarray(image.convert("L"), np.float32) / 255
    levels, opaque = np.moveaxis(np.asarray(image.convert("LA"), np.float32) / 255, 2, 0)
    # Where most is transparent, drawn is what is not, and the paper has to differ from it.
    drawn = np.average(levels, weights=opaque) if opaque.any() else 0.0
    paper = drawn if opaque.mean() > 0.5 else float(drawn < 0.5)
    return np.asarray(levels * opaque + paper * (1 - opaque))
