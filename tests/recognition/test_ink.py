"""Ink and paper, by the same methods as scikit-image has them."""

import numpy as np
import pytest
from PIL import Image

from digits_jax import data
from digits_jax.recognition import ink
from digits_jax.recognition.parts import connected

REASON = "scikit-image is not installed"


@pytest.fixture(scope="module")
def photo(page):
    """A photo of digits on plain paper, the light falling off."""
    return page(data.load(train_size=1, validation_size=0).test.images[:12], 3, 4, noise=0.003)


def test_the_threshold_of_otsu(photo):
    filters = pytest.importorskip("skimage.filters", reason=REASON)
    contrast = ink.ink(photo)
    width = np.ptp(contrast) / 256
    assert ink.otsu(contrast) == pytest.approx(filters.threshold_otsu(contrast), abs=1.01 * width)


def test_strokes_are_those_of_sauvola(photo):
    filters = pytest.importorskip("skimage.filters", reason=REASON)
    mask = ink.strokes(ink.ink(photo), 5.0)
    expected = photo < filters.threshold_sauvola(photo, window_size=41, k=0.2, r=0.5)
    both = (mask & expected).sum() / (mask | expected).sum()
    assert both > 0.75


def test_parts_are_those_of_labelling(photo):
    measure = pytest.importorskip("skimage.measure", reason=REASON)
    mask = ink.ink(photo) > 0.3
    labels = measure.label(mask, connectivity=2)
    expected = sorted((r.bbox[0], r.bbox[1], int(r.area)) for r in measure.regionprops(labels))
    found = sorted((p.top, p.left, int(p.mask.sum())) for p in connected(mask))
    assert found == expected


def test_paper_reaches_the_border_also_where_the_ink_is_much():
    eight = Image.fromarray(data.load(train_size=1, validation_size=0).test.images[864])
    levels = np.asarray(eight.resize((280, 280), Image.Resampling.BICUBIC)) / 255
    assert not ink.is_dark_on_light(levels)
    assert ink.is_dark_on_light(1 - levels)
