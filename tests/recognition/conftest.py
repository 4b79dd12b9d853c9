"""Draws and photographs pages of digits: pens, papers, rule lines, light, rotation, by code."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

PAPERS = ("plain", "ruled", "squared", "table", "boxes", "rings", "shadow", "board", "edge")


def page(images, rows, columns, paper="plain", seed=0, height=60, angle=0.0, ink=0.7, noise=0.01):
    """A photo of `images`, MNIST's own, in rows and columns: grey levels from 0 to 1 [h, w]."""
    rng = np.random.default_rng(seed)
    step_y, step_x = (round(height * (1.7 if paper == "rings" else a)) for a in (1.7, 1.35))
    margin = height
    h, w = rows * step_y + 2 * margin, columns * step_x + 2 * margin
    darkness = np.zeros((h, w))
    side = round(height * 28 / 20)
    centres = []
    for k, image in enumerate(images):
        y, x = margin + (k // columns) * step_y, margin + (k % columns) * step_x
        y, x = (a + int(rng.integers(-height // 12, height // 12 + 1)) for a in (y, x))
        digit = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        top, left = y + (step_y - side) // 2, x + (step_x - side) // 2
        area = darkness[top : top + side, left : left + side]
        np.maximum(area, ink * np.clip(digit / 255 * 1.4 - 0.2, 0, 1), out=area)
        centres.append((top + side // 2, left + side // 2))
    thin = max(1, height // 30)
    ruled = np.zeros_like(darkness)
    grid_y = [margin + k * step_y for k in range(rows + 1)]
    grid_x = [margin + k * step_x for k in range(columns + 1)]
    if paper == "ruled":
        for y in grid_y:
            ruled[y : y + thin] = 0.3
    if paper == "squared":
        for y in range(int(rng.integers(height // 2)), h, height // 2):
            ruled[y : y + thin] = 0.15
        for x in range(int(rng.integers(height // 2)), w, height // 2):
            ruled[:, x : x + thin] = 0.15
    if paper in ("table", "boxes"):
        dark, bold = (0.8, 2 * thin) if paper == "table" else (0.45, thin)
        for y in grid_y:
            ruled[y : y + bold, grid_x[0] : grid_x[-1] + bold] = dark
        for x in grid_x:
            ruled[grid_y[0] : grid_y[-1] + bold, x : x + bold] = dark
    if paper == "rings":
        y, x = np.mgrid[:h, :w]
        for cy, cx in centres:
            far = np.hypot((y - cy) / 1.1, x - cx) / (0.72 * height)
            ruled[np.abs(far - 1) < thin * 1.5 / height] = 0.6
    darkness = 1 - (1 - darkness) * (1 - ruled)
    light = np.full((h, w), 0.9) * np.linspace(1, rng.uniform(0.55, 1), w)
    light *= np.linspace(rng.uniform(0.7, 1), 1, h)[:, None]
    if paper == "shadow":
        y, x = np.mgrid[:h, :w]
        light *= np.where(x + y * 0.7 < 0.7 * w, 0.55, 1)
    grey = light * (1 - darkness)
    if paper == "edge":
        grey[:, : margin // 3] = 0.08
        grey[-margin // 4 :] = 0.12
    if paper == "board":
        grey = 0.12 + 0.8 * darkness
    fill = float(np.median(grey[0]))
    grey = ndimage.rotate(grey, angle, reshape=False, order=1, mode="nearest", cval=fill)
    grey = ndimage.gaussian_filter(grey, height / 120)
    return np.clip(grey + rng.normal(0, noise, grey.shape), 0, 1)


@pytest.fixture(params=PAPERS)
def paper(request):
    """Each kind of paper."""
    return request.param


@pytest.fixture(name="page", scope="session")
def page_fixture():
    return page
