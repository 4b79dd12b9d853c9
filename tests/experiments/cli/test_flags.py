"""What every script does with errors, signals and its default folder: real processes."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from digits_jax import Config
from experiments.cli import script

class Refused(Exception):
    pass

def main():
    with script.user_errors(ValueError):
        {checking}
    {working}

sys.argv = ["script"]
script.run(main, Refused)
"""


@pytest.mark.parametrize(
    ("checking", "working", "status", "first", "last"),
    [
        ("pass", "return 7", 7, "", ""),
        ("Config(epochs=0)", "", 1, "error: epochs=0", "at least 1"),
        ("pass", "open('/no/such')", 1, "error: /no/such: No such", "file or directory"),
        ("pass", "raise Refused('of this\\nkind')", 1, "error: of this kind", "of this kind"),
        ("pass", "raise KeyboardInterrupt", 130, "", ""),
        ("pass", "raise ValueError('a bug')", 1, "Traceback", "ValueError: a bug"),
    ],
)
def test_how_a_script_ends(checking, working, status, first, last):
    script = SCRIPT.format(checking=checking, working=working)
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    lines = process.stderr.splitlines() or [""]
    assert process.returncode == status
    assert lines[0].startswith(first)
    assert lines[-1].endswith(last)
    assert len(lines) == 1 or first == "Traceback"


def test_default_folders_of_the_same_second_are_apart(tmp_path):
    script = (
        "from experiments.cli import flags\n"
        "flags.define_workdir()\n"
        "flags.FLAGS(['script'])\n"
        "for _ in range(40): print(flags.workdir('a b'))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    folders = process.stdout.splitlines()
    assert len(set(folders)) == 40
    assert all((tmp_path / folder).is_dir() for folder in folders)
    assert {folder[: len("runs/")] for folder in folders} == {"runs/"}
    assert any(folder.endswith("-a-b-2") for folder in folders)


def test_an_import_leaves_the_garbage_collector_as_it_was():
    script = "import gc; t = gc.get_threshold(); import experiments; assert t == gc.get_threshold()"
    subprocess.run([sys.executable, "-c", script], check=True)
