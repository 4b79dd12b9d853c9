"""Folders of results."""

import signal
import subprocess
import sys

import pytest

from digits_jax.runs import directories


def test_a_directory_is_held_by_one(tmp_path):
    directory = tmp_path / "new"
    with directories.locked(directory):
        directories.clear(directory, overwrite=False, names=())
        with (
            pytest.raises(ValueError, match="another run is writing into"),
            directories.locked(directory),
        ):
            pass
    with directories.locked(directory):
        pass


def test_what_is_held_is_not_overwritten(tmp_path):
    with (
        directories.locked(tmp_path),
        pytest.raises(ValueError, match="another run is writing into"),
    ):
        directories.check(tmp_path, overwrite=True)
    directories.check(tmp_path, overwrite=True)


def test_the_lock_of_a_killed_process_is_free_and_what_it_left_half_written_removed(tmp_path):
    script = (
        "import pathlib, sys, time; from digits_jax.runs import directories;"
        "held = directories.locked(pathlib.Path(sys.argv[1])); held.__enter__();"
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another run"), directories.locked(tmp_path):
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    (tmp_path / "checkpoints").mkdir()
    for name in (".metrics.csv.12.half-written", "checkpoints/.5.safetensors.12.half-written"):
        (tmp_path / name).touch()
    with directories.locked(tmp_path):
        left = sorted(path.name for path in tmp_path.rglob("*"))
        assert left == [directories.LOCK_FILE, "checkpoints"]


def test_a_lock_that_is_a_link_is_left_alone(tmp_path):
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    (tmp_path / directories.LOCK_FILE).symlink_to(thesis)
    with pytest.raises(OSError, match=directories.LOCK_FILE), directories.locked(tmp_path):
        pass
    assert thesis.read_text() == "years of work"


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        directories.check(tmp_path, overwrite=False)


def test_a_file_is_not_a_directory(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match="is not a folder"):
        directories.check(path, overwrite=True)
