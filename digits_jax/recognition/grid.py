"""The lines of squared and ruled paper, which cross digits: what is thinner than strokes goes."""

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from digits_jax.recognition.frames import around
from digits_jax.recognition.parts import stroke_width

# Lines of a grid cross the picture: so much of their way is ink. They are looked for at these
# slopes, in strips, as thin ones would leave a row at coarser ones.
CROSSING = 0.6
FINE_SLOPES = np.arange(-20, 21) * 0.003
STRIPS = 64


def without_grid(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The ink without lines through the whole picture that are thinner than the strokes."""
    (level, rows), (upright, columns) = _crossing(mask), _crossing(mask.T)
    lines = [level, upright.T]
    if max(rows, columns) < 2:
        return mask
    width = stroke_width(mask & ~lines[0] & ~lines[1])
    return np.asarray(mask & ~_thin(mask, level, width) & ~_thin(mask.T, upright, width).T)


def _thin(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels of about level lines if these are thinner than strokes, and where no stroke is."""
    above, below = (a.T for a in around(~mask.T))
    thickness = (below - above - 1)[lines]
    if not len(thickness) or np.median(thickness) >= 0.75 * width:
        return np.zeros_like(mask)
    return np.asarray(lines & ~_thick(mask, lines, width))


def _crossing(mask: Bool[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], int]:
    """The pixels of about level lines from one side of the picture to the other; how many."""
    h, w = mask.shape
    edges = np.linspace(0, w, min(STRIPS, w) + 1).astype(int)
    ink = np.add.reduceat(ndimage.binary_dilation(mask, np.ones((3, 1))), edges[:-1], axis=1)
    middle = (edges[1:] + edges[:-1]) / 2 - w / 2
    found, starts = np.zeros_like(mask), np.zeros(h, bool)
    for slope in FINE_SLOPES:
        rows = np.arange(h)[:, None] + np.round(slope * middle).astype(int)
        inside = (rows >= 0) & (rows < h)
        share = (ink[np.clip(rows, 0, h - 1), np.arange(len(middle))] * inside).sum(1) / w
        starts |= share > CROSSING
        for y in np.flatnonzero(share > CROSSING):
            at = y + np.round(slope * (np.arange(w) - w / 2)).astype(int)
            for row in (at - 1, at, at + 1):
                ok = (row >= 0) & (row < h)
                found[row[ok], np.flatnonzero(ok)] = True
    return found & mask, int(ndimage.label(ndimage.binary_dilation(starts, iterations=2))[1])


def _thick(
    mask: Bool[np.ndarray, "h w"], lines: Bool[np.ndarray, "h w"], width: float
) -> Bool[np.ndarray, "h w"]:
    """The pixels of a line, about level, where a stroke runs along it or across: it is thicker."""
    above, below = (a.T for a in around(~mask.T))
    thickness = below - above - 1
    across = lines & (thickness < 8 * width)
    usual = np.median(thickness[across]) if across.any() else 0
    return np.asarray(across & (thickness > 1.5 * usual + 1))
