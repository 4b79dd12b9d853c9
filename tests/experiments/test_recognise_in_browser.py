"""The page of recognised digits in a real browser, at the width of a desk and of a pocket."""

import io

import numpy as np
import pytest
from PIL import Image

from digits_jax import data, recognition
from experiments.recognition import page as pages

MEASURES = """() => ({
    scrollWidth: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll('body *')].filter(e =>
        e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80)),
    fonts: [...document.querySelectorAll('p, h3, section div div')]
        .map(e => parseFloat(getComputedStyle(e).fontSize)),
    // On the screen, the labels of the boxes and of the bars are as high as their scale makes them.
    labels: [...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height),
    images: [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.clientWidth),
    picture: (b => [b.width, b.height])(document.querySelector('image').getBoundingClientRect()),
    boxes: [...document.querySelectorAll('svg rect[fill=none]')].map(e => {
        const all = document.querySelector('image').getBoundingClientRect();
        const b = e.getBoundingClientRect();
        return [b.left - all.left, b.top - all.top, b.right - all.left, b.bottom - all.top];
    }),
    bars: [...document.querySelectorAll('svg[width]')].map(s =>
        [...s.querySelectorAll('rect')].map(e => e.getBoundingClientRect().height)),
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
})"""


ONES = np.ones((4, 4), np.uint8)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A drawing of twelve digits and an empty one, read: what was found, and its page."""
    folder = tmp_path_factory.mktemp("seen")
    images = data.load(train_size=1, validation_size=0).test.images[40:52]
    levels = 230 - np.kron(np.vstack([np.hstack(images[i : i + 4]) for i in (0, 4, 8)]) // 2, ONES)
    Image.fromarray(np.pad(levels.astype(np.uint8), 40, constant_values=230)).save(
        folder / "photo.png"
    )
    Image.new("L", (200, 100), 255).save(folder / "blank.png")
    names = [str(folder / name) for name in ("photo.png", "blank.png")]
    found = list(recognition.look(names, recognition.reader()))
    path = folder / "seen.html"
    path.write_text(pages.make(found), "utf-8")
    return found[0], path


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_shows_every_step_legibly(open_page, seen, width, scheme):
    picture, path = seen
    page = open_page(path, width, color_scheme=scheme)
    shown = page.evaluate(MEASURES)
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L"))
    page.close()

    assert shown["scrollWidth"] == width, "the page scrolls sideways"
    assert shown["outside"] == []
    assert min(shown["fonts"]) >= 14  # pixels
    assert min(shown["labels"]) >= 11
    # As found, as cut out, as seen: each at its size.
    assert len(shown["images"]) == 3 * len(picture.digits)
    assert min(shown["images"]) >= 90

    scale = shown["picture"][0] / picture.picture.grey.shape[1]
    boxes = [(x, y, x + w, y + h) for x, y, w, h in (d.box for d in picture.digits)]
    np.testing.assert_allclose(shown["boxes"], np.array(boxes) * scale, atol=3)

    assert len(shown["bars"]) == len(picture.digits)
    for heights, digit in zip(shown["bars"], picture.digits, strict=True):
        assert int(np.argmax(heights)) == int(digit.probabilities.argmax())
    assert (pixels.mean() > 128) == (scheme == "light")
