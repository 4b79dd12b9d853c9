"""A digit as found, made into an image as MNIST's were made.

MNIST's digits fit a square of 20 pixels, their proportions kept, grey from anti-aliasing, and lie
with their centre of mass in the middle of 28 x 28 (LeCun, Bottou, Bengio and Haffner,
Gradient-Based Learning Applied to Document Recognition, 1998, section III-A).
"""

import numpy as np
from jaxtyping import Float, Num, UInt8
from scipy import ndimage

SIDE = 28
BOX = 20
# Strokes in a box of 20 pixels: half a percent of MNIST's are thinner; half of them are.
THIN, USUAL = 1.4, 2.3
# Pixels for one of MNIST's that strokes are thickened at.
FINE = 4.0


def normalise(ink: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "28 28"]:
    """Size, position, brightness and, where they would vanish, strokes like MNIST's.

    Means over areas bring the longer side to 20 pixels and the brightest is then 255; whole pixels
    move the centre of mass to the middle. MNIST's own images come back.

    Args:
        ink: one digit, 0 for paper, the larger the more ink, in any unit.
    """
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / ink.max()
    scale = max(ink.shape) / BOX
    if scale > FINE:  # the time for thickening grows with the fourth power of the scale
        ink, scale = resampled(ink, scale / FINE), FINE
    if scale > 1 and stroke_thickness(ink) < THIN * scale:
        ink = thickened(ink, USUAL * scale - stroke_thickness(ink))
    small = resampled(ink, max(ink.shape) / BOX)
    image = np.zeros((SIDE, SIDE))
    h, w = small.shape
    y, x = centre_of_mass(small)
    top, left = (int(np.clip(np.floor(14.5 - c), 0, SIDE - n)) for c, n in ((y, h), (x, w)))
    image[top : top + h, left : left + w] = small * (255 / small.max())
    return np.round(image).astype(np.uint8)


def is_normal(image: Num[np.ndarray, "h w"]) -> bool:
    """Whether an image, light on dark, of grey levels up to 255 is as MNIST's are."""
    if image.shape != (SIDE, SIDE) or image.max() < 254:
        return False
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    centred = all(13.47 < c <= 14.5 for c in centre_of_mass(image))
    # A few of MNIST's lost a row of faint pixels.
    return bool(BOX - 1 <= longer <= BOX) and centred


def centre_of_mass(image: Num[np.ndarray, "h w"]) -> tuple[float, float]:
    """The row and column about which the ink is balanced."""
    h, w = image.shape
    mass = image.sum(dtype=float)
    return float(image.sum(1) @ np.arange(h) / mass), float(image.sum(0) @ np.arange(w) / mass)


def stroke_thickness(ink: Num[np.ndarray, "h w"]) -> float:
    """Twice the ink over the length of its outline, which is the total variation."""
    padded = np.pad(ink.astype(float), 1)
    dy, dx = np.diff(padded, axis=0)[:, :-1], np.diff(padded, axis=1)[:-1]
    return float(2 * ink.sum() / np.hypot(dy, dx).sum())


def thickened(ink: Float[np.ndarray, "h w"], more: float) -> Float[np.ndarray, "h2 w2"]:
    """Strokes wider by about `more` pixels: the maximum over a disk."""
    radius = max(1, round(more / 2))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = y**2 + x**2 <= (radius + 0.3) ** 2
    return np.asarray(ndimage.grey_dilation(np.pad(ink, radius), footprint=disk))


def resampled(ink: Float[np.ndarray, "h w"], scale: float) -> Float[np.ndarray, "h2 w2"]:
    """Smaller by `scale`: means over areas of that many pixels, in whole numbers of areas."""
    h, w = ink.shape
    return _means(_means(ink, max(1, round(h / scale))).T, max(1, round(w / scale))).T


def _means(ink: Float[np.ndarray, "n w"], m: int) -> Float[np.ndarray, "m w"]:
    """Means over `m` equal stretches of rows, from sums up to each row.

    Small matrix products would do, and wait for each other's threads on a busy machine.
    """
    n = len(ink)
    edges = np.linspace(0, n, m + 1)
    row = np.minimum(edges.astype(int), n - 1)
    sums = np.concatenate([np.zeros((1, ink.shape[1])), np.cumsum(ink, axis=0, dtype=float)])
    upto = sums[row] + (edges - row)[:, None] * ink[row]
    return np.asarray(np.diff(upto, axis=0) * (m / n))
