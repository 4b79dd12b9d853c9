"""What the documents promise: commands of CI, examples that run, flags and links that exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import optax
import pytest
from absl import flags as absl_flags

from digits_jax import Affine, Config, gradients, hyperparameters, make_training, models, optimizers
from digits_jax.training import TrainState
from experiments.cli import flags as cli_flags

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments"
ACROSS_LINES = re.MULTILINE | re.DOTALL
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    EXPERIMENTS / "README.md",
    EXPERIMENTS / "cli" / "README.md",
    *sorted((EXPERIMENTS / "records").glob("*.md")),
]
EVERY_DOCUMENT = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)


def code_blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, ACROSS_LINES)


def commands(text):
    """Every command that is shown, by script: its words."""
    blocks = "\n".join(code_blocks(text, "sh")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=ACROSS_LINES))
    for line in [*blocks, *inline]:
        if found := re.search(r"python -m experiments\.(\w+)(?! *&&)(.*)", line):
            yield found[1], shlex.split(found[2], comments=True)


@pytest.fixture(scope="module")
def flags_of(fork_module):
    """The flags that the help of a script lists."""
    known = {}

    def names(script):
        if script not in known:
            shown = fork_module(f"experiments.{script}", "--help").stdout
            known[script] = set(re.findall(r"^  --(\w+)", shown, re.MULTILINE))
            assert known[script], script
        return known[script]

    return names


def test_the_two_commands_are_those_that_ci_runs():
    shown = [
        line
        for block in code_blocks(README, "sh")
        for line in block.splitlines()
        if " && python " in line
    ]
    assert len(shown) == 2
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if " && python " in line] == shown


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    example, _, _ = code_blocks(README, "python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    accuracy = re.fullmatch(r"([\d.]+)%\n", capsys.readouterr().out)
    assert accuracy
    assert float(accuracy[1]) > 90


def test_what_a_file_of_ones_own_puts_into_the_tables_is_trained_with(tmp_path):
    _, _, example = code_blocks(README, "python")
    (tmp_path / "mine.py").write_text(example)
    (command,) = re.findall(r"`python (-m experiments.train --entries=mine\.py [^`]+)`", README)
    words = [*command.split(), "--epochs=2", f"--workdir={tmp_path / 'run'}"]
    process = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    accuracy = re.search(r"test accuracy +([\d.]+)%", process.stdout)
    assert float(accuracy[1]) > 80


def test_the_other_tables_take_entries_from_outside_as_well(splits, monkeypatch):
    monkeypatch.setitem(
        models.INITIALIZERS, "small", lambda n: Affine(n[:, :-1] / 100, 0 * n[:, -1])
    )
    monkeypatch.setitem(
        optimizers.OPTIMIZERS, "adagrad", lambda rate, momentum, decay: optax.adagrad(rate)
    )
    monkeypatch.setitem(
        optimizers.SCHEDULES, "linear", lambda _, total: optax.linear_schedule(1.0, 0.0, total)
    )
    monkeypatch.setitem(
        gradients.GRADIENTS,
        "checkpointed",
        lambda model, loss: gradients.autodiff(
            model._replace(forward=jax.checkpoint(model.forward)), loss
        ),
    )
    config = Config(
        train_size=len(splits.train.labels),
        epochs=50,
        init="small",
        optimizer="adagrad",
        schedule="linear",
        gradients="checkpointed",
        learning_rate=0.3,
    )
    training = make_training(config, splits.image_shape, splits.num_classes)
    state, _ = jax.jit(training.run)(hyperparameters(config), splits.train)
    assert isinstance(state, TrainState)
    assert jax.jit(training.evaluate)(state.params, splits.test).accuracy > 0.9


@EVERY_DOCUMENT
def test_every_flag_that_a_document_shows_exists_and_takes_its_value(path, flags_of, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = path.read_text()
    scripts = {file.stem for file in EXPERIMENTS.glob("*.py")} - {"__init__"}
    for script, words in commands(text):
        assert script in scripts
        flags = [word.removeprefix("--").partition("=") for word in words if word[:2] == "--"]
        assert {name for name, *_ in flags} <= flags_of(script) | {"flagfile", "help", "data"}, (
            words
        )
        if "entries" in {name for name, *_ in flags}:
            continue  # trained with for real above
        values = absl_flags.FlagValues()
        cli_flags.define_config(values=values)
        values(["", *words], known_only=True)
        cli_flags.config(values)
    known = set().union(*map(flags_of, scripts))
    for name in re.findall(r"`--(\w+)", text):
        assert name in known | {"flagfile", "help", "data"}, name


@EVERY_DOCUMENT
def test_every_link_leads_to_something(path):
    text = path.read_text()
    for target in re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', text):
        file, _, heading = "".join(target).partition("#")
        if file.startswith("https:"):
            continue
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert heading in anchors, target


def test_accuracies_and_times_are_those_on_record():
    rows = re.findall(
        r"\| ([\d.]+ ± [\d.]+ %)[^|]*\| (\d+) \| ?([^|]*) \| \[(\w+)\]\(([^)]+)\) \|", README
    )
    assert len(rows) == len(re.findall(r"± [\d.]+ %", README))
    whole = (ROOT / "experiments/records/benchmark-recipes.md").read_text()
    for accuracy, n, time, name, record in rows:
        recorded = (ROOT / record).read_text()
        assert re.search(rf"\| {n} \| {re.escape(accuracy)} \|", recorded), record
        assert not time or f"| {name}, cold | {time} |" in whole
