"""A report in a real browser, at the width of a desk and of a pocket."""

import io

import numpy as np
import PIL.Image
import pytest

from digits_jax import reports

# What the page looks like to a reader, measured by the browser.
MEASURES = """() => ({
    width: innerWidth,
    scrollWidth: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    // A picture that is drawn at half the width it asks for has text that nobody can read.
    scales: [...document.images].map(i => i.complete ? i.clientWidth / i.getAttribute('width') : 0),
    // What sticks out of the page; a box scrolls, but the caption of its table stays in sight.
    outside: [...document.querySelectorAll('body :not(.box *), caption')].filter(e =>
        e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80)),
    scrolling: [...document.querySelectorAll('.box')].filter(b => b.scrollWidth > b.clientWidth)
        .length,
    fonts: [...document.querySelectorAll('p, td, th, li, caption, figcaption')]
        .map(e => parseFloat(getComputedStyle(e).fontSize)),
    ground: getComputedStyle(document.body).backgroundColor,
})"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(train_run, write_idx_folder, tiny_split, tmp_path_factory):
    """The page of two runs, of real digits and of a data set with long names and many classes."""
    folder = tmp_path_factory.mktemp("runs")
    images, labels = tiny_split(400, classes=16)
    write_idx_folder(folder / "data", (images, labels), tiny_split(48, classes=16, seed=1))
    names = [f"a rather long name of class {label}" for label in range(16)]
    (folder / "data" / "labels.txt").write_text("\n".join(names))
    quick = {"epochs": 3, "train_size": 300, "validation_size": 100, "learning_rate": 0.3}
    digits = train_run(folder / "digits", **quick)
    patterns = train_run(folder / "patterns", data_dir=str(folder / "data"), **quick)
    page = folder / "report.html"
    page.write_text(reports.make([digits, patterns]).html, "utf-8")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_readable(open_page, report, width, scheme):
    page = open_page(report, width, color_scheme=scheme)
    seen = page.evaluate(MEASURES)
    pixels = np.asarray(PIL.Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L"))
    page.close()

    assert seen["width"] == width
    assert seen["scrollWidth"] == width, "the page scrolls sideways"
    assert seen["outside"] == []
    assert min(seen["fonts"]) >= 14  # pixels
    assert len(seen["scales"]) == 2 + 2 * 4
    assert min(seen["scales"]) >= 0.75, "a picture is missing or too small to read"
    red, green, blue = map(int, seen["ground"].removeprefix("rgb(").removesuffix(")").split(","))
    assert (max(red, green, blue) < 64) == (scheme == "dark")
    # In a narrow window it is the tables that scroll.
    assert (seen["scrolling"] > 2) == (width == 400)

    assert pixels.shape == (seen["height"], width)
    # From top to bottom there is something to see, left and right of the middle on a desk.
    for top in range(0, seen["height"] - 400, 400):
        assert pixels[top : top + 400].std() > 5, f"nothing to see below {top} pixels"
    assert pixels[:, : width // 2].std() > 20
    assert pixels[:, width // 2 :].std() > 20
