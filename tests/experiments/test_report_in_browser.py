"""A report in a real browser, at the width of a desk and of a pocket."""

import base64
import contextlib
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from digits_jax import reports

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"),
)
# The browser reads commands from file descriptor 3 and writes answers to 4.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 100)
os.dup2(int(sys.argv[2]), 101)
os.dup2(100, 3)
os.dup2(101, 4)
os.closerange(5, 102)
os.execv(sys.argv[3], sys.argv[3:])
"""
SECONDS = 60
# What the page looks like to a reader, measured by the browser.
MEASURES = """JSON.stringify({
    width: innerWidth,
    scrollWidth: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    // A picture that is drawn at half the width it asks for has text that nobody can read.
    scales: [...document.images].map(i => i.complete ? i.clientWidth / (i.naturalWidth / 2) : 0),
    // Not inside a box that scrolls: what sticks out of the page.
    outside: [...document.querySelectorAll('body *')].filter(e => !e.closest('.box')
        && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80)),
    scrolling: [...document.querySelectorAll('.box')].filter(b => b.scrollWidth > b.clientWidth)
        .length,
    fonts: [...document.querySelectorAll('p, td, th, li, caption, figcaption')]
        .map(e => parseFloat(getComputedStyle(e).fontSize)),
    ground: getComputedStyle(document.body).backgroundColor,
})"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH"),
]


class Browser:
    """Chromium without a window, spoken to in the DevTools protocol: JSON ended by a zero byte."""

    def __init__(self, profile):
        commands, self.write_end = os.pipe()
        self.read_end, answers = os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-S", "-c", LAUNCHER, str(commands), str(answers)),
                *(BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.received = b""
        self.numbers = itertools.count(1)
        self.events = []
        self.session = {}

    def start(self):
        """Waits for the browser's first page and listens to it."""
        pages = (target for target in self.targets() if target["type"] == "page")
        target = next(pages)["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    def targets(self):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            targets = self("Target.getTargets")["targetInfos"]
            if any(target["type"] == "page" for target in targets):
                return targets
            time.sleep(0.1)
        raise TimeoutError("the browser opened no page")

    def __call__(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.read_end], [], [], SECONDS)
            piece = os.read(self.read_end, 1 << 20) if ready else b""
            if not piece:
                raise TimeoutError("the browser does not answer")
            self.received += piece
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def open(self, path, width, dark=False):
        """Loads a file in a window of `width` pixels; returns the measures of its page."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self("Page.navigate", url=Path(path).as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())
        result = self("Runtime.evaluate", expression=MEASURES)["result"]
        return json.loads(result["value"])

    def screenshot(self, width, height):
        """The whole page, also what is below the window."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        return base64.b64decode(data)

    def requested(self):
        """The addresses the page asked for, but for what it holds itself."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self):
        """What a developer would read in the browser's console."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [event for event in self.events if event.get("method") in kinds]

    def close(self):
        with contextlib.suppress(OSError, TimeoutError, AssertionError):
            self("Browser.close")
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)


@pytest.fixture(scope="module")
def browser():
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        contextlib.closing(Browser(profile)) as browser,
    ):
        browser.start()
        yield browser


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


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_readable(browser, report, width, dark, tmp_path):
    seen = browser.open(report, width, dark)
    assert seen["width"] == width
    assert seen["scrollWidth"] == width, "the page scrolls sideways"
    assert seen["outside"] == []
    assert min(seen["fonts"]) >= 14  # pixels
    assert len(seen["scales"]) == 2 + 2 * 4
    assert min(seen["scales"]) >= 0.75, "a picture is missing or too small to read"
    assert browser.requested() == [report.as_uri()]
    assert browser.complaints() == []
    red, green, blue = map(int, seen["ground"].removeprefix("rgb(").removesuffix(")").split(","))
    assert (max(red, green, blue) < 64) == dark
    # In a narrow window it is the tables that scroll.
    assert (seen["scrolling"] > 2) == (width == 400)

    png = browser.screenshot(width, seen["height"])
    (tmp_path / "report.png").write_bytes(png)
    pixels = np.asarray(PIL.Image.open(io.BytesIO(png)).convert("L"))
    assert pixels.shape == (seen["height"], width)
    # From top to bottom there is something to see, left and right of the middle on a desk.
    for top in range(0, seen["height"] - 400, 400):
        assert pixels[top : top + 400].std() > 5, f"nothing to see below {top} pixels"
    assert pixels[:, : width // 2].std() > 20
    assert pixels[:, width // 2 :].std() > 20
