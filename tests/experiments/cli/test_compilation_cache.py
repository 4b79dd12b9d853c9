"""The compilation cache, shared by real processes."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SMALL = ("--train_size=200", "--validation_size=0", "--epochs=1", "--hidden=5")


@pytest.fixture
def start(start_module, tmp_path):
    """Starts a small run whose caches lie in `tmp_path`: (name of the run, **environment)."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}

    def run(name, **environment):
        return start_module(
            "experiments.train",
            *SMALL,
            f"--workdir={tmp_path / name}",
            environment={**ours, "XDG_CACHE_HOME": str(tmp_path), **environment},
        )

    return run


def finish(process):
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")


def entries(folder):
    return {path.name: path.read_bytes() for path in folder.glob("digits_jax/*/*-cache")}


@pytest.mark.slow
def test_processes_share_programs_and_mend_what_a_killed_one_left(start, tmp_path):
    both = [start("a"), start("b")]
    for process in both:
        finish(process)
    kept = entries(tmp_path)
    assert len(kept) == 3  # init, epoch, evaluate

    # As after kill -9 while JAX wrote: a part of the entry, and no time beside it yet.
    broken, whole = next(iter(kept.items()))
    (folder,) = tmp_path.glob("digits_jax/*")
    (folder / broken).write_bytes(whole[:1000])
    (folder / broken.replace("-cache", "-atime")).unlink()
    used = {path: path.read_bytes() for path in folder.glob("*-atime")}
    finish(start("c"))
    assert entries(tmp_path).keys() == kept.keys()
    assert len((folder / broken).read_bytes()) > 1000
    assert len(used) == 2
    assert all(path.read_bytes() != time for path, time in used.items())  # read, not compiled

    # As a disk that lost its end: JAX finds its time beside it, and cannot read it.
    (folder / broken).write_bytes(whole[:1000])
    finish(start("d"))
    assert len((folder / broken).read_bytes()) > 1000
    used = {path: path.read_bytes() for path in folder.glob("*-atime")}
    finish(start("e"))
    assert len(used) == 3
    assert all(path.read_bytes() != time for path, time in used.items())

    models = {(tmp_path / run / "model.safetensors").read_bytes() for run in "abcde"}
    assert len(models) == 1


def test_without_a_folder_to_write_there_is_no_cache(start, tmp_path):
    (tmp_path / "digits_jax").write_text("in the way")
    finish(start("run"))


@pytest.mark.slow
def test_variables_of_jax_go_before(start, tmp_path):
    named, off = tmp_path / "named", tmp_path / "off"
    finish(start("a", JAX_COMPILATION_CACHE_DIR=str(named)))
    assert len(list(named.glob("*-cache"))) == 3
    finish(start("b", JAX_ENABLE_COMPILATION_CACHE="false", XDG_CACHE_HOME=str(off)))
    assert not entries(tmp_path)
    assert not entries(off)
