"""A sheet of paper on a darker table: finds it, and continues it over the table."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from digits_jax.recognition.ink import border, enlarged, reduced

# Sheets are looked for in a picture of about this many pixels along its longer side.
GRID = 200
# A sheet covers at least this share of a picture, is lighter than the table by this much, and fills
# this share of the largest quadrilateral within its outline: a disk fills pi / 2 of it.
LEAST_AREA = 0.12
LIGHTER = 0.06
FILLED = (0.88, 1.25)
# Within some pixels of its edge the light falls by so much of the difference: a shadow's is soft.
SHARP = 0.5


def without_table(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"] | None:
    """The picture with paper in place of the table; `None` if there is no sheet on a table."""
    small = reduced(grey, GRID)
    sheet = find_sheet(ndimage.median_filter(small, 3))
    if sheet is None:
        return None
    inner = ndimage.binary_erosion(sheet, iterations=2, border_value=1)
    if not inner.any():
        return None
    # Light of the paper without its ink, continued from its edge.
    paper = ndimage.grey_closing(np.where(inner, small, small[inner].min()), 9)
    paper = ndimage.percentile_filter(paper, 80, 5)
    nearest = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    light = enlarged(ndimage.gaussian_filter(paper[tuple(nearest)], 2), grey.shape)
    inside = enlarged(inner.astype(float), grey.shape) > 0.5
    return np.asarray(np.where(inside, grey, light))


def find_sheet(small: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """The pixels of the largest light quadrilateral on something darker."""
    if min(small.shape) < 8:
        return None
    edge = float(np.median(border(small)))
    lighter = small[small > edge + LIGHTER]
    if lighter.size < LEAST_AREA * small.size:
        return None
    light = small > (edge + np.median(lighter)) / 2
    labels, count = ndimage.label(light)
    if not count:
        return None
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    sheet = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(largest, 4), iterations=3))
    sheet = np.asarray(sheet)[4:-4, 4:-4]
    holes = sheet & ~light
    if sheet.mean() < LEAST_AREA or sheet.mean() > 0.985 or not holes.any():
        return None
    if border(sheet).mean() > 0.6:
        return None
    inner = sheet & ~ndimage.binary_erosion(sheet, iterations=4, border_value=1)
    outer = ndimage.binary_dilation(sheet, iterations=4) & ~sheet
    across = np.median(small[inner]) - np.median(small[outer]) if outer.any() else 0.0
    if across < SHARP * (np.median(lighter) - edge):
        return None
    y, x = np.nonzero(sheet)
    try:
        hull = ConvexHull(np.stack([x, y], 1))
    except QhullError:
        return None
    corners = hull.points[hull.vertices]
    if sheet.sum() < FILLED[0] * hull.volume:
        return None
    return (
        sheet if hull.volume < FILLED[1] * quadrilateral(corners) + 2 * sum(sheet.shape) else None
    )


def quadrilateral(points: Float[np.ndarray, "n 2"]) -> float:
    """About the largest area of four of the points of a convex outline."""
    areas = []
    for angle in np.linspace(0, np.pi / 2, 18, endpoint=False):
        directions = angle + np.arange(4) * np.pi / 2
        far = points @ np.stack([np.cos(directions), np.sin(directions)])
        a, b, c, d = points[far.argmax(0)]
        (px, py), (qx, qy) = c - a, d - b
        areas.append(abs(px * qy - py * qx) / 2)
    return float(max(areas))
