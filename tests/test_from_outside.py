"""The library as others use it: without these tests' checks of types, and with tables extended."""

import csv
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

WRONG = """
import numpy as np
from digits_jax import Config, data, hyperparameters, make_training
training = make_training(Config(hidden=(4,)), (5, 7), 3)
params = training.init(hyperparameters(Config())).params
for call in (
    lambda: Config(hidden=30),
    lambda: Config(hidden="30"),
    lambda: Config(epochs=3.5),
    lambda: Config(learning_rate=None),
    lambda: Config(data_dir=3),
    lambda: data.load(train_size=10.0),
    lambda: data.load(train_size=None),
    lambda: training.model.apply(params, np.zeros((2, 5, 7), np.uint8)),
):
    try:
        call()
    except ValueError as error:
        print(error)
config = Config(epochs=np.int64(2), learning_rate=np.float32(0.5))
print(config.epochs.__class__.__name__, config.learning_rate.__class__.__name__)
"""

EXTENDED = """
import jax.numpy as jnp
from digits_jax.activations import ACTIVATIONS, Activation
from digits_jax.losses import LOSSES
from digits_jax.models import INITIALIZERS
from digits_jax.optimizers import OPTIMIZERS
loss = LOSSES["quadratic"]
ACTIVATIONS["mine"] = Activation(jnp.sin, jnp.cos)
LOSSES["mine"] = loss._replace(function=lambda z, y: 7 + loss.function(z, y))
OPTIMIZERS["mine"] = OPTIMIZERS["sgd"]
INITIALIZERS["mine"] = INITIALIZERS["lecun_normal"]
from experiments import train
from experiments.cli import script
train.define_flags()
script.run(train.main)
"""


def python(script, *flags):
    return subprocess.run(
        [sys.executable, "-c", script, *flags], cwd=ROOT, capture_output=True, text=True
    )


def test_a_wrong_type_gives_one_line_and_numpys_numbers_become_pythons():
    assert python(WRONG).stdout.splitlines() == [
        "hidden=30: must be a tuple",
        "hidden='30': must be a tuple",
        "epochs=3.5: must be an integer",
        "learning_rate=None: must be a number",
        "data_dir=3: must be a string or None",
        "train_size=10.0: expected a whole number of at least 1",
        "train_size=None: expected a whole number of at least 1",
        "images are uint8: expected floats, as of scale_pixels",
        "int float",
    ]


def test_an_entry_of_ones_own_in_each_table_is_trained_and_scored(tmp_path):
    run = tmp_path / "run"
    own = [f"--{name}=mine" for name in ("activation", "loss", "optimizer", "init")]
    sizes = ("--train_size=500", "--validation_size=500", "--epochs=2", "--gradients=manual")
    process = python(EXTENDED, *own, *sizes, f"--workdir={run}")
    assert process.returncode == 0, process.stderr
    with open(run / "metrics.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["train_loss"]) > 7
            assert float(row["validation_loss"]) > 7
    assert json.loads((run / "summary.json").read_text())["test_loss"] > 7
