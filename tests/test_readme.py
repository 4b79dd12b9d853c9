"""What the README promises: its commands are those of CI, its example runs."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def code_blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_two_commands_are_those_that_ci_runs():
    commands = [
        line for block in code_blocks("sh") for line in block.splitlines() if " && python " in line
    ]
    assert len(commands) == 2
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if " && python " in line] == commands


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = code_blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    accuracy = re.fullmatch(r"([\d.]+)%\n", capsys.readouterr().out)
    assert accuracy
    assert float(accuracy[1]) > 90


def test_every_flag_that_the_documents_name_exists(run_module):
    known = set(re.findall(r"--(\w+)", run_module("experiments.train", "--help").stdout))
    commands = [
        line
        for block in code_blocks("sh")
        for line in block.splitlines()
        if "experiments.train" in line
    ]
    named = {
        word.split("=")[0].removeprefix("--")
        for line in commands
        for word in shlex.split(line, comments=True)
        if word.startswith("--")
    }
    assert named <= known | {"flagfile", "help"}


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
