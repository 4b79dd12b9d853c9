"""What the compiler tells of a shared run, against what data parallelism has to hold and send."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from digits_jax import Config
from digits_jax.parallel.mesh import make_mesh
from experiments.scaling import all_reduces, compile_epoch

CONFIG = Config(train_size=20_000, batch_size=200)
PARAMETERS = 784 * 30 + 30 + 30 * 10 + 10
DEEP = dataclasses.replace(
    CONFIG, hidden=(64, 32), optimizer="adamw", learning_rate=0.01, clip_norm=1.0
)
DEEP_PARAMETERS = 784 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
CONVOLUTION = dataclasses.replace(CONFIG, hidden=("conv8x3/2", "30"), activation="relu")
CONVOLUTION_PARAMETERS = 8 * 3 * 3 + 8 + 8 * 14 * 14 * 30 + 30 + 30 * 10 + 10


@pytest.mark.parametrize(
    ("config", "parameters", "copies"),
    [
        (CONFIG, PARAMETERS, 1),
        # adamw keeps two moments of each
        pytest.param(DEEP, DEEP_PARAMETERS, 3, marks=pytest.mark.slow),
        pytest.param(CONVOLUTION, CONVOLUTION_PARAMETERS, 1, marks=pytest.mark.slow),
    ],
    ids=["sgd", "adamw", "convolution"],
)
def test_a_device_holds_its_part_and_sends_one_gradient_a_step(config, parameters, copies):
    of = {
        shards: compile_epoch(dataclasses.replace(config, shards=shards), (28, 28), 10)
        for shards in (2, 4)
    }
    for shards, found in of.items():
        assert found.each_step == [4 * parameters]
        assert found.each_epoch == [8]  # the means of loss and accuracy
        data = 20_000 // shards * (28 * 28 + 4)  # a byte a pixel, four a label
        state = 4 * parameters * copies
        assert data + state < found.arguments < data + state + 100
        assert state < found.outputs < state + 4 * 1_000
    assert of[4].temporaries < of[2].temporaries


def test_the_bytes_of_an_all_reduce_are_those_of_its_arrays():
    def sums(x, n):
        def step(x, _):
            return jax.lax.psum(x * 2, "d"), None

        x, _ = jax.lax.scan(step, x, length=3)
        return x, jax.lax.psum(n, "d")

    parts = jax.shard_map(
        sums,
        mesh=make_mesh("d", 2),
        in_specs=(PartitionSpec(), PartitionSpec("d")),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    x, n = jnp.ones((3, 5), jnp.float32), jnp.ones((14,), jnp.int16)
    program = jax.jit(parts).lower(x, n).compile().as_text()
    assert all_reduces(program) == ([3 * 5 * 4], [7 * 2])


def test_the_table_is_printed(run_module, assert_one_line_error):
    process = run_module("experiments.scaling", "--devices=1,8", "--train_size=8000000")
    assert process.returncode == 0, process.stderr
    *_, one, eight = process.stdout.splitlines()
    assert one.startswith("| 1 | 6.3 GB | ")
    assert eight.startswith("| 8 | 788 MB | ")
    assert " 1: 95.4 kB |" in eight
    process = run_module("experiments.scaling", "--devices=64", "--batch_size=10")
    assert_one_line_error(process, "must be multiples of shards=64: the nearest are batch_size=64")
