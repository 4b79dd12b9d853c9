"""What is handed on: a wheel that works where it lies, and an sdist from which the tests pass."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import digits_jax

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel and an sdist."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def run(folder, *words):
    """Runs Python elsewhere than in the checkout, with `folder` before all that is installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    process = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_a_wheel_brings_types_its_version_and_what_recognises(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    assert (tmp_path / "digits_jax" / "py.typed").exists()
    text = "import digits_jax as d; print(d.__file__, d.__version__)"
    assert run(tmp_path, "-c", text).split() == [
        str(tmp_path / "digits_jax" / "__init__.py"),
        digits_jax.__version__,
    ]
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    assert f"Version: {digits_jax.__version__}" in lines
    assert {"Author", "Home-page", "Project-URL"}.isdisjoint(line.split(":")[0] for line in lines)
    image = "import numpy as np, digits_jax as d; from PIL import Image; "
    image += "Image.fromarray(d.data.load().test.images[0]).save('seven.png')"
    run(tmp_path, "-c", image)
    assert run(tmp_path, "-m", "digits_jax", "seven.png") == "seven.png\t7\n"


def test_tests_pass_from_an_sdist(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    assert set(tracked.stdout.splitlines()) <= there
    quick = ("tests/test_models.py", "tests/data/test_loading.py", "tests/test_readme.py")
    told = run(folder, "-m", "pytest", "-q", "-n0", *quick)
    assert " passed" in told
