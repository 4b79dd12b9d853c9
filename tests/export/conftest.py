"""Networks of every kind of layer, as their runs would leave them."""

import json
import shutil

import jax
import pytest

from digits_jax import Config, TrainedModel, data, export, make_model, save_model

# Together: every kind of layer, activation and loss; strides and edges that do not divide.
NETWORKS = {
    "classic": {},
    "tanh": {"hidden": ("conv3x5/2", "max2", "conv4", "9"), "activation": "tanh"},
    "relu": {"hidden": ("conv4x4/3", "max3", "7"), "loss": "cross_entropy", "activation": "relu"},
    "gelu": {"hidden": ("11", "8"), "loss": "cross_entropy", "activation": "gelu"},
    "silu": {"hidden": ("conv2/2",), "activation": "silu", "init": "standard_normal"},
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def splits():
    return data.load(train_size=1_000, validation_size=500)


@pytest.fixture(scope="session")
def sources(tmp_path_factory, splits):
    """An untrained network of each kind by name, and the weights not too small to matter."""
    folder = tmp_path_factory.mktemp("networks")
    found = {}
    for seed, (name, settings) in enumerate(NETWORKS.items()):
        config = Config(train_size=1_000, validation_size=500, **settings)
        params = make_model(config, (28, 28), 10).init(jax.random.key(seed))
        (folder / name).mkdir()
        path = folder / name / "model.safetensors"
        save_model(path, TrainedModel(params, config, (28, 28), 10))
        (folder / name / "summary.json").write_text(json.dumps({"test_accuracy": 0.1}))
        found[name] = export.read(folder / name)
    return found


@pytest.fixture(scope="session")
def open_page():
    """Opens HTML in a real browser, checking what it asks for and complains of: (html, **window).

    One browser serves all tests of a process.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    wrong = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable)

        def open_file(path, width=1280, **window):
            mobile = width < 600
            page = browser.new_page(
                viewport={"width": width, "height": 900},
                is_mobile=mobile,
                has_touch=mobile,
                **window,
            )
            page.set_default_timeout(10_000)
            page.on("console", lambda message: wrong.append(message.text))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "request",
                lambda asked: asked.url != path.as_uri() and wrong.append(asked.url),
            )
            page.goto(path.as_uri())
            page.wait_for_selector("body[data-ready]")
            return page

        yield open_file
        browser.close()
    assert wrong == [], "console messages, errors and requests of the pages"
