"""Names that somebody else chose, where they could do harm."""

import subprocess

import pytest

from digits_jax import names

HOSTILE = (
    "\x1b[31mred",
    "two\nlines",
    "\u202egnp.exe",
    "\udcff",
    "a b",
    "$(true)",
    "'",
    "-x",
    "=1+1",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_on_its_line_and_comes_out_of_a_shell_as_it_is(name):
    assert names.shown(name).isprintable()
    assert names.quoted(name).isprintable()
    echo = ["bash", "-c", f"printf %s {names.quoted(name)}"]
    printed = subprocess.run(echo, capture_output=True, check=True).stdout
    assert printed == name.encode("utf-8", "surrogateescape")


def test_a_cell_is_no_formula_and_numbers_stay():
    assert [names.cell(text) for text in ("=1+1", "-1.5", "+x", "@a", "\tb", "-a", "plain")] == [
        *("'=1+1", "-1.5", "'+x", "'@a", "'\tb", "'-a", "plain")
    ]
