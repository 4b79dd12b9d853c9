"""`python -m experiments.train` as a user runs it: real processes, real files."""

import csv
import dataclasses
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from digits_jax import Config
from digits_jax.runs import model_file

ROOT = Path(__file__).parents[2]
QUICK = ("--train_size=500", "--validation_size=500", "--epochs=2")


def test_a_run_writes_its_files_and_its_flags_repeat_it_to_the_byte(run_module, tmp_path):
    flags = (*QUICK, "--hidden=12,9", "--activation=gelu", "--loss=cross_entropy", "--seed=5")
    flags += ("--optimizer=adamw", "--learning_rate=0.01", "--schedule=cosine")
    first, second = tmp_path / "first", tmp_path / "second"
    process = run_module("experiments.train", *flags, f"--workdir={first}")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""  # piped: no progress bar
    summary = json.loads((first / "summary.json").read_text())
    assert sorted(path.name for path in first.iterdir()) == [
        ".lock",
        "flags.txt",
        "identity.json",
        "metrics.csv",
        "model.safetensors",
        "summary.json",
    ]
    assert f"{summary['test_accuracy']:.2%}, {summary['test_errors']:,} errors in 10,000" in (
        process.stdout
    )
    assert str(first) in process.stdout
    assert len(process.stdout.splitlines()) == 4
    assert summary["seed"] == summary["config"]["seed"] == 5
    assert summary["versions"]["jax"]
    assert summary["parameters"] == 784 * 12 + 12 + 12 * 9 + 9 + 9 * 10 + 10
    assert 0 < summary["train_seconds"] < summary["total_seconds"]
    assert model_file.load(first / "model.safetensors").config.seed == 5
    with open(first / "metrics.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["50", "100"]

    again = (f"--flagfile={first}/flags.txt", f"--workdir={second}")
    assert run_module("experiments.train", *again).returncode == 0
    assert (first / "flags.txt").read_text() == (second / "flags.txt").read_text()
    models = [(run / "model.safetensors").read_bytes() for run in (first, second)]
    assert models[0] == models[1]


@pytest.mark.slow
def test_a_run_on_all_devices_is_repeated_by_its_flags(run_module, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    flags = (*QUICK, "--data_parallel", "--cpu_devices=2", "--checkpoint_seconds=1e-6")
    process = run_module("experiments.train", *flags, f"--workdir={first}")
    assert process.returncode == 0, process.stderr
    assert "--shards=2\n" in (first / "flags.txt").read_text()
    assert model_file.load(first / "model.safetensors").config.shards == 2
    again = run_module("experiments.train", f"--flagfile={first}/flags.txt", f"--workdir={second}")
    assert again.returncode == 0, again.stderr
    models = [(run / "model.safetensors").read_bytes() for run in (first, second)]
    assert models[0] == models[1]

    resume = ("--resume", f"--workdir={first}", "--epochs=3")
    process = run_module("experiments.train", *resume, "--data_parallel", "--cpu_devices=5")
    assert process.returncode == 1
    assert "shards=2: all devices are to share the run, and there are 5 (cpu)" in process.stderr
    process = run_module("experiments.train", *resume)
    assert process.returncode == 0, process.stderr


def test_a_non_empty_workdir_is_refused_unless_overwritten(
    assert_one_line_error, fork_module, tmp_path
):
    (tmp_path / "notes.txt").write_text("mine")
    flags = (*QUICK, f"--workdir={tmp_path}")
    process = fork_module("experiments.train", *flags)
    assert_one_line_error(process, "is not empty: choose another workdir, or give --overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    process = fork_module("experiments.train", *flags, "--overwrite")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_data_set_of_ones_own(fork_module, tmp_path, write_idx_folder, tiny_split):
    write_idx_folder(tmp_path / "shapes", tiny_split(60), tiny_split(12, seed=1))
    process = fork_module(
        "experiments.train",
        f"--data_dir={tmp_path / 'shapes'}",
        "--train_size=all",
        "--validation_size=15",
        "--batch_size=5",
        f"--workdir={tmp_path / 'run'}",
    )
    assert process.returncode == 0, process.stderr
    assert "--train_size=45\n" in (tmp_path / "run" / "flags.txt").read_text()
    assert "100.00%, 0 errors in 12" in process.stdout


def test_help_is_grouped_and_fits_a_terminal(run_module):
    process = run_module("experiments.train", "--help")
    assert process.returncode == 0
    lines = process.stdout.splitlines()
    assert [line for line in lines if line.endswith(":")] == [
        "data:",
        "network:",
        "training:",
        "augmentation:",
        "run:",
        "hosts:",
    ]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning_rat=1"], "Did you mean: learning_rate ?"),
        (["--epochs=many"], "--epochs=many: not an integer: 'many'"),
        (["--train_size=most"], "not an integer: 'most'"),
        (["--shift=far"], "not a number: 'far'"),
        (["--epochs=0"], "epochs=0: must be at least 1"),
        (["--learning_rate=-1"], "learning_rate=-1.0: must be finite and at least 0.0"),
        (["--hidden=30,big"], "'big' is not a layer: expected 30 (units of a dense layer)"),
        (["--hidden=100000000"], "optimizer's state take 592 GiB of memory, and there are"),
        ([f"--hidden={10**23}"], f"hidden={10**23}: a layer can have at most 999999999 units"),
        (["--activation=step"], "'step': choose one of sigmoid, tanh, relu, gelu, silu"),
        (["--dataset=minst"], "known are 'mnist' and 'tfds:NAME'"),
        (["--train_size=60000"], "overlap: there are 60000 training images in all"),
        (["--batch_size=10001"], "batch_size=10001 is larger than train_size=10000"),
        (["--gradients=manual", "--activation=silu"], "activation=silu has no hand-written"),
        (["--data_dir=/no/such/folder"], "/no/such/folder: no such folder"),
        (["--flagfile=/no/such/file"], "/no/such/file"),
        (["--workdir="], "workdir is empty: expected a folder, as in --workdir=runs/mine"),
        (["--workdir=README.md"], "README.md is not a folder"),
        (["classic"], "unexpected argument 'classic'"),
        (["--shards=3"], "the nearest are batch_size=9 and train_size=9999"),
        (
            ["--shards=2", "--cpu_devices=1"],
            "shards=2 need as many devices, and there are 1 (cpu): give --cpu_devices=2",
        ),
        (
            ["--data_parallel", "--shards=2", "--cpu_devices=5"],
            "shards=2: all devices are to share the run, and there are 5 (cpu)",
        ),
    ],
)
def test_a_mistake_in_the_flags_gives_one_line(
    assert_one_line_error, fork_module, tmp_path, flags, message
):
    workdir = [] if "--workdir" in flags[0] else [f"--workdir={tmp_path / 'run'}"]
    assert_one_line_error(fork_module("experiments.train", *workdir, *flags), message)
    assert not (tmp_path / "run").exists()


def idx(*shape, element_type=8, size=None):
    header = struct.pack(f">HBB{len(shape)}I", 0, element_type, len(shape), *shape)
    return header + bytes(int(np.prod(shape)) if size is None else size)


BROKEN = {
    "truncated": ("train-images-idx3-ubyte.gz", gzip.compress(idx(60, 5, 7, size=99))),
    "too long": ("train-images-idx3-ubyte.gz", gzip.compress(idx(60, 5, 7, size=9999))),
    "not a valid gzip file": (
        "train-images-idx3-ubyte.gz",
        gzip.compress(idx(60, 5, 7))[:-8] + bytes(8),
    ),
    "element type 0x0a": ("train-labels-idx1-ubyte.gz", gzip.compress(idx(60, element_type=10))),
    "holds 60 images, ": ("train-labels-idx1-ubyte.gz", gzip.compress(idx(59))),
    "test label 3 is not among the 3 classes": (
        "t10k-labels-idx1-ubyte.gz",
        gzip.compress(idx(12, size=0) + bytes([3] * 12)),
    ),
    "test images 7 x 5": ("t10k-images-idx3-ubyte.gz", gzip.compress(idx(12, 7, 5))),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_data_set_gives_one_line(
    assert_one_line_error, fork_module, tmp_path, write_idx_folder, tiny_split, message
):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    name, content = BROKEN[message]
    (folder / name).write_bytes(content)
    flags = (f"--data_dir={folder}", "--train_size=40", "--validation_size=10")
    process = fork_module("experiments.train", *flags, f"--workdir={tmp_path / 'run'}")
    assert_one_line_error(process, message)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_diverges_names_the_epoch(assert_one_line_error, fork_module, tmp_path):
    workdir = tmp_path / "run"
    process = fork_module(
        "experiments.train",
        *QUICK,
        "--activation=relu",
        "--loss=cross_entropy",
        "--learning_rate=1e38",
        f"--workdir={workdir}",
    )
    assert_one_line_error(process, "in epoch 1: try a smaller learning rate")
    assert not (workdir / "model.safetensors").exists()


def test_the_classic_recipe_spells_out_the_defaults():
    recipe = (ROOT / "experiments" / "recipes" / "classic.flags").read_text().splitlines()
    named = dict(line.removeprefix("--").split("=") for line in recipe if line.startswith("--"))
    defaults = {name: str(value) for name, value in dataclasses.asdict(Config()).items()}
    defaults |= {"hidden": "30"}
    assert named == {name: defaults[name] for name in defaults if name not in ("data_dir", "seed")}


@pytest.mark.parametrize("recipe", sorted((ROOT / "experiments" / "recipes").glob("*.flags")))
def test_every_recipe_parses(assert_one_line_error, fork_module, tmp_path, recipe):
    # The last flag wins: an impossible size stops the run after all flags are checked.
    process = fork_module(
        "experiments.train",
        f"--flagfile={recipe}",
        "--train_size=60001",
        f"--workdir={tmp_path / 'run'}",
    )
    assert_one_line_error(process, "there are 60000 training images in all")
