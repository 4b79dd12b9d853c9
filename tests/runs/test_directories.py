"""Folders of results."""

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


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty"):
        directories.check(tmp_path, overwrite=False)


def test_a_file_is_not_a_directory(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match="is not a folder"):
        directories.check(path, overwrite=True)
