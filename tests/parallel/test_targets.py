"""What compilers tell of a run, against what the run has to hold, compute and send."""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from digits_jax import Config
from digits_jax.parallel import hlo, targets
from digits_jax.parallel.mesh import make_mesh

CONFIG = Config(train_size=20_000, batch_size=200)
PARAMETERS = 784 * 30 + 30 + 30 * 10 + 10
DEEP = dataclasses.replace(
    CONFIG, hidden=(64, 32), optimizer="adamw", learning_rate=0.01, clip_norm=1.0
)
DEEP_PARAMETERS = 784 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
CONVOLUTION = dataclasses.replace(CONFIG, hidden=("conv8x3/2", "30"), activation="relu")
CONVOLUTION_PARAMETERS = 8 * 3 * 3 + 8 + 8 * 14 * 14 * 30 + 30 + 30 * 10 + 10
# Everything that a step of the recipes holds, on few images. In float32, libtpu takes minutes to
# compile convolutions.
DISTORTED = Config(
    precision="bfloat16",
    hidden=("conv8x5/2", "conv8x3", "max2"),
    activation="relu",
    loss="cross_entropy",
    optimizer="muon",
    learning_rate=0.003,
    schedule="warmup_cosine",
    label_smoothing=0.05,
    average=0.9,
    rotate=10.0,
    scale=0.1,
    shear=0.1,
    shift=1.0,
    elastic=0.6,
    thickness=0.3,
    fade=1.0,
    train_size=640,
    batch_size=64,
)


@pytest.fixture(autouse=True)
def without_a_cache():
    """A compiler without its device cannot read back what JAX has kept of it."""
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


def compiled(config, name, test_size=1_000):
    target = targets.find(name)
    config = dataclasses.replace(config, shards=len(target.devices))
    return targets.compile_run(config, target, (28, 28), 10, test_size)


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
    found = compiled(config, "cpu:2")
    assert found.step.collectives == {"all-reduce": [4 * parameters]}
    assert found.outside == {"all-reduce": [8]}  # the means of loss and accuracy
    data = 20_000 // 2 * (28 * 28 + 4)  # a byte a pixel, four a label
    state = 4 * parameters * copies
    arguments, _, outputs = found.memory
    assert data + state < arguments < data + state + 100
    assert outputs < 4 * 1_000  # the state is written over
    assert not found.forbidden


def test_the_operations_of_a_step_are_those_of_its_products():
    found = compiled(CONFIG, "cpu")
    products = 2 * 200 * (2 * 784 * 30 + 3 * 30 * 10)  # no delta goes back to the images
    assert products < found.flops < 1.1 * products
    # At least: the images, and the weights read, read again and written.
    assert found.step.bytes_moved > 200 * 784 + 3 * 4 * PARAMETERS
    assert found.step.bytes_moved < 20_000 * 784  # not all images


def test_the_bytes_of_a_collective_are_those_of_its_arrays_and_loops_count():
    def sums(x, n):
        def step(x, _):
            x = jax.lax.fori_loop(0, 5, lambda _, x: jnp.sin(x @ x.T) @ x, x)
            return jax.lax.psum(x * 2, "d"), None

        with jax.named_scope(hlo.STEPS):
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
    text = jax.jit(parts).lower(x, n).compile().as_text()
    step, outside = hlo.read_step(text)
    assert step.collectives == {"all-reduce": [3 * 5 * 4]}
    assert outside == {"all-reduce": [7 * 2]}
    assert step.kernels >= 5 * 2
    entry, computations = hlo.parse(text)
    counts = {
        times
        for _, one, times in hlo.executed(computations, entry)
        if "sin" in one.text or "dot" in one.operation
    }
    assert 15 in counts
    assert not hlo.forbidden(text)


def test_float64_and_calls_of_the_host_are_found():
    def wide(x):
        jax.debug.callback(lambda x: None, x)
        return x + 1

    with jax.enable_x64(True):
        text = jax.jit(wide).lower(jnp.ones(3, jnp.float64)).compile().as_text()
    assert hlo.forbidden(text) == ["float64", "callback"]


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_a_compiler_that_is_not_installed_is_named_with_the_command_that_installs_it():
    with pytest.raises(ValueError, match=r"tpu:v5e: .* is not installed: pip install .*targets"):
        targets.find("tpu:v5e")


def accelerator(name, module):
    """A target that is skipped where its compiler is not installed, or JAX looks for a device."""
    reason = ""
    if importlib.util.find_spec(module) is None:
        reason = f"{module} is not installed: {targets.INSTALL}"
    elif jax.config.jax_platforms != "cpu":
        reason = "compilers without a device need JAX_PLATFORMS=cpu"
    marks = [pytest.mark.target, pytest.mark.skipif(bool(reason), reason=reason)]
    return pytest.param(name, marks=marks, id=name)


ACCELERATORS = [accelerator("tpu:v5e", "libtpu"), accelerator("gpu:h100", "jax_cuda12_plugin")]


@pytest.mark.parametrize("name", ACCELERATORS)
@pytest.mark.parametrize("config", [CONFIG, DISTORTED], ids=["classic", "distorted"])
def test_accelerators_compile_what_a_run_trains(name, config):
    found = compiled(config, name)
    assert not found.forbidden
    assert found.step.collectives == found.outside == {}
    assert sum(found.memory) < targets.find(name).memory
    convolves = config.hidden[0].startswith("conv")
    if name.startswith("tpu"):
        assert 5_000 < found.step.cycles < 1_000_000
    elif convolves:
        calls = found.step.calls
        forward = [count for name, count in calls.items() if name.endswith("Forward")]
        assert sum(forward) == calls["cuDNN convBackwardFilter"] == 2


@pytest.mark.parametrize("name", ACCELERATORS)
def test_accelerators_compile_the_networks_of_a_sweep_side_by_side(name):
    config = dataclasses.replace(CONFIG, epochs=1, validation_size=0, train_size=2_000)
    found = targets.compile_sweep(config, targets.find(name), (28, 28), 10, runs=64)
    assert not found.forbidden
    assert found.flops > 64 * 2 * 200 * 2 * 784 * 30
    assert sum(found.memory) > 4 * 64 * PARAMETERS
    assert not found.step.collectives


@pytest.mark.parametrize("name", [accelerator("tpu:v5e:8x8", "libtpu")])
def test_a_pod_sends_one_gradient_a_step(name):
    config = dataclasses.replace(DEEP, train_size=1_000_000, batch_size=1_024)
    found = compiled(config, name, test_size=10_000)
    assert [sum(sizes) for sizes in found.step.collectives.values()] == [4 * DEEP_PARAMETERS]
    assert not found.forbidden
