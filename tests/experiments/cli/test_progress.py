"""How far a script is, where there is no terminal."""

from experiments.cli import progress


def test_without_a_terminal_a_line_comes_now_and_then(capsys, monkeypatch):
    with progress.shown("epoch", 3000, 10, quiet=False) as advance:
        advance(1, "validation 90.00%")
        assert capsys.readouterr().err == ""  # not yet
        monkeypatch.setattr(progress, "SECONDS", 0.0)
        advance(1, "validation 91.00%")
        advance(8)
    assert capsys.readouterr().err == ("epoch 12 of 3,000, validation 91.00%\nepoch 20 of 3,000\n")
    with progress.shown("run", 9, 0, quiet=True) as advance:
        advance(1)
    assert capsys.readouterr().err == ""
