"""Random distortions of a batch, drawn anew for every image and step, inside the compiled epoch.

Each pixel of a distorted image is read, by one bilinear sampling, from where an affine map and a
smooth random field say that it comes from (Simard, Steinkraus and Platt, Best practices for
convolutional neural networks applied to visual document analysis, 2003, section 2).
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from digits_jax.config import Hyperparameters

# The elastic field is smooth: it is drawn on so many points a side, and cubic between them.
KNOTS = 5
IMAGES_AT_A_TIME = 16
# The random numbers of an image by term. One draw has them all, as XLA takes 0.1 s to compile each,
# and each has its place in it, whichever terms are left out.
NUMBERS = {
    "rotate": 1,
    "scale": 2,
    "shear": 1,
    "shift": 2,
    "elastic": 2 * KNOTS**2,
    "thickness": 1,
}


class Distortions(NamedTuple):
    """How far images are distorted, each term to both sides of none; `None` leaves it out.

    rotate: degrees. scale: share of the size, of height and width apart. shear: pixels to the side
    for a pixel down. shift: pixels, in both directions. elastic: standard deviation, in pixels, of
    the smooth field. thickness: share of the way to the darkest or the lightest neighbour, which
    makes strokes up to a pixel thicker or thinner on each side.
    """

    rotate: Any
    scale: Any
    shear: Any
    shift: Any
    elastic: Any
    thickness: Any


def distortions(numbers: Hyperparameters, left: Any = 1.0) -> Distortions | None:
    """The distortions of a run, `None` where it has none.

    Over the last `fade` of a run they shrink to none, so that it ends with images as they are (He
    et al., Data augmentation revisited, 2019, change over at once).

    Args:
        numbers: of the run.
        left: what is left of the run, a share of its updates: more than 0.
    """
    found = Distortions(*(getattr(numbers, name) for name in Distortions._fields))
    if all(term is None for term in found):
        return None
    if numbers.fade is None:
        return found
    share = jnp.minimum(left / numbers.fade, 1)
    return Distortions(*(None if most is None else share * most for most in found))


def distort(
    key: Key[Array, ""], images: Float[Array, "batch height width"], amounts: Distortions
) -> Float[Array, "batch height width"]:
    """Every image distorted by numbers of its own; what comes from beyond the edges is 0.

    A pixel u to the right of the centre and v below it is read from

        x = cos(t) X - sin(t) Y + shift + field     X = zoom (u + shear v)
        y = sin(t) X + cos(t) Y + shift + field     Y = zoom v

    where t is the angle, and zooms, shifts and fields of x and y are drawn apart.
    """
    batch, height, width = images.shape
    most = np.nextafter(np.ones((), images.dtype), 0)  # a normal number is finite
    evenly = jax.random.uniform(
        key, (sum(NUMBERS.values()), batch, 1, 1), images.dtype, -most, most
    )
    ends = itertools.accumulate(NUMBERS.values())
    draws = dict(zip(NUMBERS, jnp.split(evenly, list(ends)[:-1]), strict=True))

    def drawn(term: str) -> Float[Array, "count batch 1 1"]:
        """Evenly between the two signs of an amount."""
        amount = getattr(amounts, term)
        return jnp.zeros_like(draws[term]) if amount is None else amount * draws[term]

    (angle,), (shear,) = jnp.deg2rad(drawn("rotate")), drawn("shear")
    (zoom_x, zoom_y), (shift_x, shift_y) = 1 + drawn("scale"), drawn("shift")
    u = jnp.arange(width, dtype=images.dtype)[None, None, :] - (width - 1) / 2
    v = jnp.arange(height, dtype=images.dtype)[None, :, None] - (height - 1) / 2
    across, down = zoom_x * (u + shear * v), zoom_y * v
    x = jnp.cos(angle) * across - jnp.sin(angle) * down + shift_x + (width - 1) / 2
    y = jnp.sin(angle) * across + jnp.cos(angle) * down + shift_y + (height - 1) / 2
    if amounts.elastic is not None:
        normal = math.sqrt(2) * jax.lax.erf_inv(draws["elastic"])
        knots = normal.reshape(2, KNOTS, KNOTS, batch)
        rows, columns = (
            jax.image.resize(jnp.eye(KNOTS, dtype=images.dtype), (length, KNOTS), "cubic")
            for length in (height, width)
        )
        # The height before the rest: XLA's GPU compiler finds no tiles for a product that puts it
        # between batch and width.
        by_rows = jnp.tensordot(amounts.elastic * knots, rows, (1, 1)).transpose(3, 0, 2, 1)
        field_x, field_y = (by_rows @ columns.T).transpose(1, 2, 0, 3)
        x, y = x + field_x, y + field_y

    def sample(of: tuple[Array, ...]) -> Float[Array, "height width"]:
        image, x, y, way = of
        sampled = bilinear(image, x, y)
        if amounts.thickness is None:
            return sampled
        lightest, darkest = neighbours(sampled, jnp.maximum), neighbours(sampled, jnp.minimum)
        return jnp.where(
            way > 0, sampled + way * (lightest - sampled), sampled - way * (darkest - sampled)
        )

    # On a CPU a loop, as XLA would else sample a pixel anew for every patch of a convolution that
    # reads it, and as so many images fit its cache. Elsewhere all images at once.
    distorted: Array = jax.lax.platform_dependent(
        (images, x, y, drawn("thickness")[0]),
        cpu=lambda each: jax.lax.map(sample, each, batch_size=IMAGES_AT_A_TIME),
        default=jax.vmap(sample),
    )
    return distorted


def bilinear(
    image: Float[Array, "height width"],
    x: Float[Array, "height width"],
    y: Float[Array, "height width"],
) -> Float[Array, "height width"]:
    """The grey level at x pixels from the left and y from the top; beyond the edges 0."""
    height, width = image.shape
    around = jnp.pad(image, 1).ravel()
    x, y = jnp.clip(x, -1, width), jnp.clip(y, -1, height)
    left = jnp.minimum(jnp.floor(x), width - 1)
    top = jnp.minimum(jnp.floor(y), height - 1)
    corner = ((top + 1) * (width + 2) + left + 1).astype(jnp.int32)

    def at(offset: int) -> Float[Array, "height width"]:
        return around.take(corner + offset, mode="clip")

    above = at(0) + (x - left) * (at(1) - at(0))
    below = at(width + 2) + (x - left) * (at(width + 3) - at(width + 2))
    return above + (y - top) * (below - above)


def neighbours(
    image: Float[Array, "height width"], choose: Callable[[Array, Array], Array]
) -> Float[Array, "height width"]:
    """Of each pixel and its neighbours above, below, left and right, the one that is chosen."""
    around = jnp.pad(image, 1)
    others = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    return functools.reduce(choose, others, image)
