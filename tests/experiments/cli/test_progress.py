"""How far a script is, where there is no terminal."""

import re
import time

from experiments.cli import progress


def lines(capsys, least):
    """What is written until it is so many lines."""
    text, deadline = "", time.monotonic() + 60
    while text.count("\n") < least:
        assert time.monotonic() < deadline
        time.sleep(0.001)
        text += capsys.readouterr().err
    return text.splitlines()


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    with progress.shown("epoch", 3000, 10, quiet=False) as advance:
        advance(1, "validation 90.00%")
    assert capsys.readouterr().err == ""  # not yet
    monkeypatch.setattr(progress, "SECONDS", 0.001)
    with progress.shown("epoch", 3000, 10, quiet=False) as advance:
        assert set(lines(capsys, 3)) == {"epoch 10 of 3,000, 0 s"}  # nothing advances
        advance(1, "validation 90.00%")
        told = r"epoch 11 of 3,000, validation 90.00%, \S+ a second, \d+ s left"
        assert re.fullmatch(told, lines(capsys, 2)[-1])
        advance(8)
        assert re.fullmatch(r"epoch 19 of 3,000, \S+ a second, \d+ s left", lines(capsys, 2)[-1])
    capsys.readouterr()
    with progress.shown("run", 9, 0, quiet=True) as advance:
        advance(1)
        time.sleep(0.02)
    assert capsys.readouterr().err == ""


def test_what_takes_long_says_for_how_long(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.001)
    with progress.now_and_then(progress.since("compiling")):
        assert set(lines(capsys, 2)) == {"compiling: 0 s"}
