"""Connected parts of ink: where they lie, how large they are, how thick their strokes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy import ndimage
from scipy.spatial import cKDTree

EIGHT = np.ones((3, 3), bool)


class Part(NamedTuple):
    """Ink within a box of the picture: rows from `top`, columns from `left`."""

    top: int
    left: int
    mask: Bool[np.ndarray, "h w"]

    @property
    def height(self) -> int:
        """Rows of the box."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Columns of the box."""
        return int(self.mask.shape[1])

    @property
    def size(self) -> int:
        """The longer side of the box."""
        return int(max(self.mask.shape))

    @property
    def bottom(self) -> int:
        """The row below the box."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the box."""
        return self.left + self.width


def connected(
    mask: Bool[np.ndarray, "h w"], least: float = 1.0, top: int = 0, left: int = 0
) -> list[Part]:
    """The parts of a mask, pixels that touch at a corner included, of at least `least` pixels.

    Args:
        mask: ink.
        least: what has fewer pixels is left out.
        top: the row of the picture where the mask begins.
        left: the column where it begins.
    """
    labels, count = ndimage.label(mask, EIGHT)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    return [
        Part(top + rows.start, left + columns.start, labels[rows, columns] == i)
        for i, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
        if area[i] >= least
    ]


def union(parts: Sequence[Part]) -> Part:
    """Several parts as one."""
    top, left = min(p.top for p in parts), min(p.left for p in parts)
    shape = max(p.bottom for p in parts) - top, max(p.right for p in parts) - left
    mask = np.zeros(shape, bool)
    for p in parts:
        mask[p.top - top : p.bottom - top, p.left - left : p.right - left] |= p.mask
    return Part(top, left, mask)


def gaps(a: Part, b: Part) -> tuple[int, int]:
    """Rows and columns between the boxes of two parts; negative where they overlap."""
    return (
        max(a.top, b.top) - min(a.bottom, b.bottom),
        max(a.left, b.left) - min(a.right, b.right),
    )


def distance(a: Part, b: Part) -> float:
    """Pixels of paper between the nearest ink of two parts."""
    pixels = []
    for one, other in ((a, b), (b, a)):
        y, x = np.nonzero(one.mask & ~ndimage.binary_erosion(one.mask))
        y, x = y + one.top, x + one.left
        # Only what faces the other can be nearest, up to the gap of the boxes.
        dy = np.maximum(np.maximum(other.top - y, y - other.bottom + 1), 0)
        dx = np.maximum(np.maximum(other.left - x, x - other.right + 1), 0)
        near = np.hypot(dy, dx) <= max(*gaps(a, b), 0) + 0.5 * min(a.size, b.size) + 2
        pixels.append(np.stack([y[near], x[near]], 1))
    if not len(pixels[0]) or not len(pixels[1]):
        return float("inf")
    return float(cKDTree(pixels[0]).query(pixels[1])[0].min()) - 1


def stroke_width(mask: Bool[np.ndarray, "h w"]) -> float:
    """Twice the distance from the middle of a stroke to its edge: the median over inked middles.

    Middles count by the square of that distance, so that many specks do not outweigh a stroke.
    """
    far = ndimage.distance_transform_edt(np.pad(mask, 1))
    ridge = np.sort(far[(far == ndimage.maximum_filter(far, 3)) & (far > 0)])
    if not len(ridge):
        return 1.0
    weight = np.cumsum(ridge**2)
    return float(2 * ridge[np.searchsorted(weight, weight[-1] / 2)] - 1)
