"""The formulas of growth, against what XLA says of the compiled epoch."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding

from digits_jax import Config, Dataset, hyperparameters
from digits_jax.parallel.data_parallel import BY_SHARD, COPIED, SHARDS, make_data_parallel
from digits_jax.parallel.mesh import make_mesh
from digits_jax.scaling import scale

CONFIG = Config(train_size=20_000, batch_size=200)
MANY = Config(
    train_size=2_000_000,
    batch_size=200,
    hidden=(64, 32),
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.1,
    clip_norm=1.0,
    label_smoothing=0.1,
)


def compile_epoch(config):
    """The epoch of a run whose data need not exist."""
    mesh = make_mesh(SHARDS, config.shards)
    copied, by_shard = NamedSharding(mesh, COPIED), NamedSharding(mesh, BY_SHARD)

    def shape(array):
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=copied)

    functions = make_data_parallel(config, (28, 28), 10, mesh)
    numbers = jax.tree.map(shape, hyperparameters(config))
    state = jax.tree.map(shape, jax.eval_shape(functions.init, numbers))
    train = Dataset(
        jax.ShapeDtypeStruct((config.train_size, 28, 28), np.uint8, sharding=by_shard),
        jax.ShapeDtypeStruct((config.train_size,), np.int32, sharding=by_shard),
    )
    return jax.jit(functions.epoch, donate_argnums=1).lower(numbers, state, train).compile()


def all_reduces(program):
    """The all-reduces of a program: where each stands, and the bytes that it sums."""
    computation, found = "", []
    for line in program.as_text().splitlines():
        if not line.startswith((" ", "}")):
            computation = line.split(" (")[0]
        if match := re.search(r"= (.*) all-reduce(?:-start)?\(", line):
            sizes = [
                math.prod(map(int, filter(None, dims.split(","))))
                for dims in re.findall(r"f32\[([\d,]*)\]", match[1])
            ]
            found.append((computation, 4 * sum(sizes)))
    return found


@pytest.mark.parametrize("shards", [2, 4])
@pytest.mark.parametrize(
    "config",
    [CONFIG, dataclasses.replace(CONFIG, optimizer="nesterov"), MANY],
    ids=["sgd", "nesterov", "adamw"],
)
def test_what_a_device_holds_and_sends_is_what_xla_says(config, shards):
    config = dataclasses.replace(config, shards=shards)
    expected = scale(config, (28, 28), 10)
    program = compile_epoch(config)
    memory = program.memory_analysis()
    assert memory.argument_size_in_bytes == expected.arguments
    # An estimate: exact to some percent where images are many, generous where they are few.
    tolerance = 0.08 if config.train_size >= 1_000_000 else 0.35
    assert memory.temp_size_in_bytes == pytest.approx(expected.working, rel=tolerance)

    inside, after = all_reduces(program)
    assert inside[1] == expected.all_reduce
    assert "ENTRY" in after[0]  # the means of loss and accuracy, once an epoch
    assert after[1] == 8
    assert "ENTRY" not in inside[0]


def test_growth_worked_out_by_hand():
    # The classic network has 23,860 parameters; plain SGD keeps nothing else.
    config = Config(train_size=8_000_000, batch_size=8_192, shards=64)
    of = scale(config, (28, 28), 10, evaluated=(10_000, 100))
    assert of.train == 125_000 * 788
    assert of.state == 4 * 23_860 + 4 + 8
    assert of.evaluation == 157 * 788 + 2 * 788
    assert of.all_reduce == 95_440
    assert of.ring == 187_898  # 2 * 63/64 of it
    assert of.steps == 976
    assert of.sent_per_epoch == 187_898 * 976
    momentum = scale(dataclasses.replace(config, optimizer="momentum"), (28, 28), 10)
    assert momentum.state == of.state + 4 * 23_860


def test_the_table_is_printed(run_module, assert_one_line_error):
    given = ("--devices=8,512", "--images=1000000000", "--batch_size=8192", "--hidden=512,512")
    process = run_module("experiments.scaling", *given)
    assert process.returncode == 0, process.stderr
    table = process.stdout.splitlines()
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| 8 | 1,000,000,000 | 98.5 GB | ")
    process = run_module("experiments.scaling", "--devices=64", "--batch_size=10")
    assert_one_line_error(
        process, "must divide by shards=64: the nearest that do are batch_size=64"
    )
