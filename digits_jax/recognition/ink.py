"""Ink and paper: evens out the light, and tells strokes from what they are written on."""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from digits_jax.recognition.parts import stroke_width

# Paper is judged on a picture of about this many pixels along its longer side.
PAPER_GRID = 64
# Below this contrast with the paper nothing is ink.
LEAST_CONTRAST = 0.06
# Pixels: wider gaps are not closed, as the time for it grows with their square.
WIDEST_GAP = 16.0
# From this standard deviation between neighbouring pixels on, paper is grained or halftone.
GRAIN = 0.015


def ink(grey: Float[np.ndarray, "h w"], dark: bool | None = None) -> Float[np.ndarray, "h w"]:
    """How dark each pixel is against its paper: 0 for paper, 1 for black ink on white.

    Light ink on something dark is inverted first. The paper is estimated twice: over much of the
    picture, which tells how wide strokes are, and between strokes.

    Args:
        grey: levels from 0 to 1.
        dark: whether ink is darker than paper; `None`: as `is_dark_on_light` says.
    """
    grey = grey if (is_dark_on_light(grey) if dark is None else dark) else 1 - grey
    if noise(grey) > GRAIN:
        grey = ndimage.gaussian_filter(grey, 1.2)
    rough = contrast(grey, paper(grey))
    width = stroke_width(away_from_edge(rough > otsu(rough)))
    size = 2 * round(2.5 * width) + 1
    smooth = ndimage.gaussian_filter(grey, 0.7)
    light = ndimage.grey_closing(smooth, size=(size, size), mode="nearest")
    light = ndimage.uniform_filter(light, 2 * round(1.5 * width) + 1, mode="nearest")
    return contrast(grey, light)


def away_from_edge(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """What hangs not together with the edge, as shadows do; all, if little is left."""
    labels, _ = ndimage.label(mask)
    inner = mask & ~np.isin(labels, border(labels))
    return inner if inner.sum() > 0.02 * mask.sum() else mask


def is_dark_on_light(grey: Float[np.ndarray, "h w"]) -> bool:
    """Whether what stands out from its surroundings is dark: the sign of their skewness.

    Surroundings are medians over windows of several sizes, each with one voice, what is usual at
    the picture's edge, with another, and with two a surface through the whole picture, which
    follows any light but not a digit that fills it.
    """
    small = ndimage.gaussian_filter(reduced(grey, 4 * PAPER_GRID), 1)
    voices = 2 * skewness(above_surface(reduced(grey, 2 * PAPER_GRID)))
    voices += skewness(small - np.median(border(small)))
    for grid, size in ((32, 17), (64, 17), (64, 9), (128, 9)):
        around = ndimage.median_filter(reduced(grey, grid), size, mode="nearest")
        voices += skewness(small - enlarged(around, small.shape))
    return voices <= 0


def border(a: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, " n"]:
    """The pixels along the four sides."""
    return np.concatenate([a[[0, -1]].ravel(), a[:, [0, -1]].ravel()])


def skewness(d: Float[np.ndarray, "h w"]) -> float:
    """From -1, where all that is far from 0 is negative, to 1."""
    return float((d**3).sum() / ((np.abs(d) ** 3).sum() + 1e-9))


def above_surface(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """What is left of a picture without the quadratic surface through most of its pixels.

    Least squares, reweighted so that pixels far from the surface count little.
    """
    h, w = grey.shape
    y, x = (a.ravel() for a in np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1)
    weight = np.ones_like(x)
    for _ in range(3):
        fit = np.linalg.lstsq(terms * weight[:, None], grey.ravel() * weight, rcond=None)[0]
        left = grey.ravel() - terms @ fit
        weight = 1 / (1 + (left / (3 * np.median(np.abs(left)) + 1e-3)) ** 2)
    return np.asarray(left.reshape(h, w))


def paper(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The brightness of the paper at each pixel: a percentile over a third of the picture."""
    small = reduced(grey, PAPER_GRID)
    side = max(small.shape)
    light = ndimage.percentile_filter(small, 75, max(3, side // 3), mode="nearest")
    return enlarged(ndimage.gaussian_filter(light, side / 12, mode="nearest"), grey.shape)


def contrast(
    grey: Float[np.ndarray, "h w"], light: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """The share of the paper's light that does not come back."""
    return np.asarray(np.clip(1 - grey / np.maximum(light, 0.05), 0, 1))


def closed(contrast: Float[np.ndarray, "h w"], gap: float) -> Float[np.ndarray, "h w"]:
    """Broken strokes without gaps: those of chalk, pencils and poor scans.

    Args:
        contrast: of ink with its paper.
        gap: the widest gap that is closed, in widths of the pieces.
    """
    radius = max(1.0, gap * stroke_width(contrast > otsu(contrast)) / 2)
    if radius > WIDEST_GAP / 2:  # strokes so wide are no pieces of others
        return contrast
    side = np.arange(-int(radius), int(radius) + 1)
    disk = side**2 + side[:, None] ** 2 <= radius**2 + 0.5
    return np.asarray(
        ndimage.gaussian_filter(ndimage.grey_closing(contrast, footprint=disk), radius / 2)
    )


def strokes(contrast: Float[np.ndarray, "h w"], width: float) -> Bool[np.ndarray, "h w"]:
    """Where there is ink: at least half as dark as the darkest within a stroke or so.

    A local threshold as Bernsen's (1986); paper counts as the lightest.
    """
    smooth = ndimage.gaussian_filter(contrast, 0.5)
    threshold = otsu(contrast)
    inked = contrast[contrast > threshold]
    pen = np.median(inked) if len(inked) else 1
    least = max(LEAST_CONTRAST, 0.5 * threshold, 0.4 * pen)
    return np.asarray((smooth > darkest(smooth, width) / 2) & (contrast > least))


def soft(contrast: Float[np.ndarray, "h w"], width: float) -> Float[np.ndarray, "h w"]:
    """Ink from 0 to 1 in any pen: 1 within strokes, 0 outside, grey at their edges."""
    share = contrast / np.maximum(darkest(contrast, width), 1e-3)
    return np.asarray(np.clip((share - 0.25) / 0.5, 0, 1))


def darkest(contrast: Float[np.ndarray, "h w"], width: float) -> Float[np.ndarray, "h w"]:
    """The largest contrast within one and a half strokes, smoothed."""
    size = 2 * round(1.5 * width) + 1
    return np.asarray(ndimage.uniform_filter(ndimage.maximum_filter(contrast, size), size))


def reduced(grey: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "h2 w2"]:
    """The picture by means over squares, its longer side about `side` pixels."""
    step = max(1, round(max(grey.shape) / side))
    down, across = (min(step, n) for n in grey.shape)  # padding adds less than a picture
    h, w = -(-grey.shape[0] // down), -(-grey.shape[1] // across)
    padded = np.pad(grey, [(0, h * down - len(grey)), (0, w * across - grey.shape[1])], "edge")
    return np.asarray(padded.reshape(h, down, w, across).mean((1, 3)))


def enlarged(small: Float[np.ndarray, "h2 w2"], shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """A small picture with the size of `shape`, linear between its pixels."""
    zoom = [a / b for a, b in zip(shape, small.shape, strict=True)]
    return np.asarray(ndimage.zoom(small, zoom, order=1, mode="nearest", grid_mode=True))


def otsu(values: Float[np.ndarray, "..."]) -> float:
    """The threshold with the largest variance between its two sides (Otsu, 1979)."""
    counts, edges = np.histogram(values, 256)
    middles = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * middles) / np.maximum(below, 1)
    mean_above = np.cumsum((counts * middles)[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(edges[1:-1][between.argmax()])


def noise(grey: Float[np.ndarray, "h w"]) -> float:
    """The standard deviation of pixels from their neighbours, by a median."""
    d = grey[1:, 1:] - grey[:-1, 1:] - grey[1:, :-1] + grey[:-1, :-1]
    return float(1.4826 * np.median(np.abs(d)) / 2) if d.size else 0.0
