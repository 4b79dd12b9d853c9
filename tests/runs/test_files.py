"""Files are there whole or not at all."""

import os
import subprocess
import sys

import pytest

from digits_jax.runs.files import write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"first")
    with open(path, "rb") as reader:
        write_atomically(path, b"second")
        assert reader.read() == b"first"  # who has it open keeps the whole earlier file
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_where_the_space_ends_the_earlier_file_stays(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"good")
    script = (
        "import sys, pathlib; from digits_jax.runs.files import write_atomically;"
        "write_atomically(pathlib.Path(sys.argv[1]), bytes(1 << 20))"
    )
    process = subprocess.run(
        ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", sys.executable, "-c", script, path],
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    assert process.stderr.endswith(f"OSError: [Errno 27] File too large: '{path}'\n")
    assert path.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "no such folder" / "file"
    with pytest.raises(FileNotFoundError, match=f"No such file or directory: '{path}'$"):
        write_atomically(path, b"")


def test_a_device_is_not_replaced(tmp_path):
    """As root, renaming a file to the name of a device takes its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(pipe, b"content")
    assert pipe.is_fifo()
