"""Every test runs with the shapes in signatures checked, and no implicit rank promotion."""

import gzip
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Modules imported from here on check their jaxtyping annotations at every call.
install_import_hook(["digits_jax", "experiments"], "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
# For the tests of what is spread over devices; all others use the first alone, at no cost.
jax.config.update("jax_num_cpu_devices", 4)

# The same examples in every run: what they compile is in the cache.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_configure(config):
    # Equal programs are compiled once, by whichever process comes first: a third of the time.
    settings = {
        "jax_compilation_cache_dir": str(config.cache.mkdir("jax")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        os.environ[name.upper()] = str(value)  # for the processes that tests start
        jax.config.update(name, value)
    # A list of fonts of this checkout's own: what an interrupted process left in the user's is
    # warned about by every figure. Made before the workers start, as it takes some seconds.
    os.environ["MPLCONFIGDIR"] = str(config.cache.mkdir("matplotlib"))
    if not hasattr(config, "workerinput"):
        importlib.import_module("matplotlib.font_manager")


def idx_bytes(array):
    """An array of unsigned bytes in the IDX format, written from the format's description."""
    array = np.asarray(array, np.uint8)
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.fixture(name="idx_bytes")
def idx_bytes_fixture():
    return idx_bytes


@pytest.fixture(scope="session")
def write_idx_folder():
    """Writes a data set as the four IDX files: (folder, train=(images, labels), test=(...))."""

    def write(folder, train, test, compress=True):
        folder.mkdir(parents=True, exist_ok=True)
        for prefix, (images, labels) in {"train": train, "t10k": test}.items():
            for kind, array in {"images-idx3": images, "labels-idx1": labels}.items():
                name = f"{prefix}-{kind}-ubyte"
                if compress:
                    (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
                else:
                    (folder / name).write_bytes(idx_bytes(array))
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_split():
    """Makes `count` random images of `shape` that a network can learn, and their labels."""

    def make(count, shape=(5, 7), classes=3, seed=0):
        rng = np.random.default_rng(seed)
        patterns = np.random.default_rng(99).integers(0, 200, (classes, *shape))
        labels = np.arange(count) % classes
        noise = rng.integers(0, 56, (count, *shape))
        return (patterns[labels] + noise).astype(np.uint8), labels.astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def train_run():
    """Trains a run into a new folder, which it returns: (directory, **settings of Config)."""
    from digits_jax import Config, data, runs

    def train(directory, **settings):
        config = Config(**settings)
        directory.mkdir(parents=True)
        splits = data.load(**config.data_settings)
        runs.write_summary(directory, runs.train(config, splits, directory), splits)
        return directory

    return train


# A process that has imported what scripts import, and is forked for each call of one: the imports
# are most of the time of a short call.
FORKING = """
import importlib, json, os, runpy, signal, sys, time
import experiments
from experiments.cli import progress
progress.SECONDS = 3600.0  # however slow the machine is, no line of progress comes
for line in sys.stdin:
    module, flags, folder = json.loads(line)
    importlib.import_module(module)
    sys.modules.pop(module)
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        for number, name in {0: None, 1: "out", 2: "err"}.items():
            place = os.path.join(folder, name) if name else os.devnull
            os.dup2(os.open(place, os.O_RDWR | os.O_CREAT), number)
        experiments.STARTED = time.perf_counter()
        sys.argv[1:] = flags
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def run_module(tmp_path_factory):
    """Runs `python -m MODULE FLAGS` as a user would, from the checkout, in a forked process.

    A module of no script, or an environment that a test has changed, gets a process of its own.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    changing = {"PYTEST_CURRENT_TEST"}
    server = None

    def run(module, *flags):
        nonlocal server
        words = list(map(str, flags))
        now = {**os.environ, "PYTHONPATH": str(ROOT)}
        if any(now.get(name) != environment.get(name) for name in {*now, *environment} - changing):
            command = [sys.executable, "-m", module, *words]
            return subprocess.run(
                command, cwd=ROOT, env=now, capture_output=True, text=True, timeout=300
            )
        if server is None:
            server = subprocess.Popen(
                [sys.executable, "-c", FORKING],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        folder = tmp_path_factory.mktemp("process")
        server.stdin.write(json.dumps([module, words, str(folder)]) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        out, err = ((folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(words, status, out, err)

    yield run
    if server is not None:
        server.communicate()


@pytest.fixture(scope="session")
def fork_module(run_module):
    """Another name of `run_module`."""
    return run_module


@pytest.fixture
def start_module():
    """Starts `python -m MODULE FLAGS` from the checkout; what still runs at the end is killed."""
    started = []

    def start(module, *flags, before=(), environment=None):
        process = subprocess.Popen(
            [*before, sys.executable, "-m", module, *map(str, flags)],
            cwd=ROOT,
            env={**(os.environ if environment is None else environment), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def splits(tiny_split):
    """60 training, 15 validation and 21 test images of three classes."""
    from digits_jax import Dataset, Splits

    def dataset(count, seed):
        images, labels = tiny_split(count, seed=seed)
        return Dataset(images, labels.astype(np.int32))

    return Splits(dataset(60, 0), dataset(15, 1), dataset(21, 2), num_classes=3)


@pytest.fixture
def assert_one_line_error():
    """Checks that a process ended as a user's mistake should end it."""

    def check(process, message):
        assert process.returncode in (1, 2)
        assert message in process.stderr
        # What was read is told before, where it is not the embedded data.
        told = ("data: ", "warning: ")
        lines = [line for line in process.stderr.splitlines() if not line.startswith(told)]
        assert len(lines) == 1, process.stderr
        assert lines[0].startswith("error: ")
        assert process.stdout == ""

    return check


@pytest.fixture(scope="session")
def open_page():
    """Opens HTML in a real browser, checking what it asks for and complains of: (html, **window).

    One browser serves all tests of a process: playwright starts no second.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    wrong = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable)

        def open_file(path, width=1280, ready="body", fragment="", **window):
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
                lambda asked: (
                    asked.url.partition("#")[0] == path.as_uri()
                    or asked.url.startswith("data:")
                    or wrong.append(asked.url)
                ),
            )
            page.goto(path.as_uri() + fragment)
            page.wait_for_selector(ready)
            return page

        yield open_file
        browser.close()
    assert wrong == [], "console messages, errors and requests of the pages"
