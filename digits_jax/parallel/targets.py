"""Compiling for devices that are not there: a run's programs by the compilers of TPUs and GPUs.

A compiler needs a description of the device, not the device. What it makes tells the memory that a
device needs, what is computed, sent and called in a step; nothing is run, and nothing is timed.
"""

import importlib.util
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax.sharding import NamedSharding

from digits_jax.config import Config, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.parallel import chips, hlo, sweeps
from digits_jax.parallel.data_parallel import COPIED, make_placed_training, of_one_shard, padded
from digits_jax.parallel.mesh import make_mesh, shapes

TEST_SIZE = 10_000  # as in MNIST
INSTALL = "pip install -e '.[targets]'"
MODULES = {"tpu": "libtpu", "gpu": "jax_plugins.xla_cuda12"}
EXPECTED = (
    "expected cpu or cpu:8 (devices), tpu:KIND or tpu:KIND:TOPOLOGY as in tpu:v5e:4x4 (kinds: "
    f"{', '.join(chips.TPUS)}), or gpu:KIND (kinds: {', '.join(chips.GPUS)})"
)


class Target(NamedTuple):
    """Devices to compile for, and what one has, where that is known.

    Attributes:
        name: as it was asked for, as in tpu:v5e:4x4.
        devices: as a compiler knows them.
        memory: bytes of a device.
        bandwidth: bytes a second between a device and its memory.
        clock: cycles a second, of a TPU.
    """

    name: str
    devices: Sequence[Any]
    memory: int | None = None
    bandwidth: float | None = None
    clock: float | None = None


class Compiled(NamedTuple):
    """What a compiler makes of a run, for one device of a target.

    Attributes:
        memory: the most bytes that a program needs at a time: arguments, temporaries, outputs.
        flops: floating-point operations of a step, as it is written.
        step: a step of the training loop.
        outside: the bytes of collectives outside that loop, by operation.
        forbidden: float64 and transfers to or from the host, where there are any.
        seconds: what compiling took, by program.
        texts: the programs.
    """

    memory: tuple[int, int, int]
    flops: float
    step: hlo.Step
    outside: Mapping[str, Sequence[int]]
    forbidden: Sequence[str]
    seconds: Mapping[str, float]
    texts: Mapping[str, str]


def find(name: str) -> Target:
    """The devices of a target by name.

    Raises:
        ValueError: in one line, where there is no such target, or its compiler is not installed.
    """
    platform, _, rest = name.partition(":")
    kind, _, topology = rest.partition(":")
    if platform == "cpu" and re.fullmatch(r"|[1-9]\d{0,3}", rest):
        count = int(rest or 1)
        cpus = jax.devices("cpu")
        if len(cpus) < count:
            raise ValueError(f"target={name}: JAX makes {len(cpus)} devices of the CPU")
        return Target(name, cpus[:count], psutil.virtual_memory().total)
    kinds: dict[str, Mapping[str, Any]] = {"tpu": chips.TPUS, "gpu": chips.GPUS}
    if kind not in kinds.get(platform, {}) or (platform == "gpu" and topology):
        raise ValueError(f"target={name}: {EXPECTED}")
    if not _installed(MODULES[platform]):
        raise ValueError(f"target={name}: its compiler is not installed: {INSTALL}")
    if platform == "gpu":
        gpu = chips.GPUS[kind]
        devices = _topology(
            name, platform="cuda", target_config=chips.described(gpu), topology="1x1x1"
        )
        return Target(name, devices, gpu.memory, gpu.bandwidth)
    # Else libtpu asks a server of Google's cloud which TPU this is.
    usual = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    for variable, value in {**usual, "TPU_ACCELERATOR_TYPE": "v5litepod-4"}.items():
        os.environ.setdefault(variable, value)
    tpu = chips.TPUS[kind]
    devices = _topology(name, platform="tpu", topology_name=f"{kind}:{topology or tpu.smallest}")
    return Target(name, devices if topology else devices[:1], tpu.memory, tpu.bandwidth, tpu.clock)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _topology(name: str, **about: str) -> Sequence[Any]:
    from jax.experimental import topologies

    try:
        devices: Sequence[Any] = topologies.get_topology_desc(**about).devices
    except NotImplementedError:  # CUDA's plugin gives up where it looks for a GPU and finds none
        raise ValueError(f"target={name}: give JAX_PLATFORMS=cpu, as there is no GPU") from None
    except Exception as error:  # whatever a plugin raises
        raise ValueError(f"target={name}: the compiler refuses it: {error}") from None
    return devices


def blank(count: int, image_shape: tuple[int, int]) -> Dataset:
    """A split that takes no memory, for its shapes."""
    images = np.broadcast_to(np.uint8(0), (count, *image_shape))
    return Dataset(images, np.broadcast_to(np.int32(0), (count,)))


def compile_run(
    config: Config,
    target: Target,
    image_shape: tuple[int, int],
    num_classes: int,
    test_size: int = TEST_SIZE,
) -> Compiled:
    """Compiles the epoch and the evaluation of a run, shared among `config.shards` devices.

    Args:
        config: the run.
        target: the devices; as many as `config.shards` are used.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        test_size: images to evaluate.
    """
    devices = target.devices[: config.shards]
    training, copied, by_shard = make_placed_training(
        config, image_shape, num_classes, devices=devices
    )
    one = NamedSharding(make_mesh("one", devices=devices[:1]), COPIED)
    copied, by_shard = copied or one, by_shard or one
    numbers = shapes(hyperparameters(config), copied)
    state = shapes(jax.eval_shape(training.init, numbers), copied)
    train, test = (
        shapes(padded(blank(count, image_shape), config.shards), by_shard)
        for count in (config.train_size, test_size)
    )
    epoch = jax.jit(training.epoch, donate_argnums=1)
    programs = {
        "epoch": epoch.lower(numbers, state, train),
        "evaluation": jax.jit(training.evaluate).lower(state.params, test),
    }
    return _compiled(programs, _flops(config, image_shape, num_classes))


def compile_sweep(
    config: Config, target: Target, image_shape: tuple[int, int], num_classes: int, runs: int
) -> Compiled:
    """Compiles so many runs of a sweep as one program, spread over all devices of a target.

    On a device that is not a CPU its runs train side by side: a step is one of all of them.
    """
    mesh = make_mesh(sweeps.LANES, devices=target.devices)
    each = -(-runs // mesh.size)
    by_lane, copied = (NamedSharding(mesh, spec) for spec in (sweeps.BY_LANE, sweeps.COPIED))
    sizes = (config.train_size, config.validation_size, TEST_SIZE)
    data = tuple(blank(size, image_shape) for size in sizes)
    splits = Splits(*data, num_classes)
    vectorised = target.devices[0].platform != "cpu"
    program = sweeps.make_sweep(config, splits, mesh, vectorised)
    numbers = sweeps.stack([config] * (each * mesh.size))
    counts = np.full(mesh.size, each)
    arguments = (*shapes((numbers, counts), by_lane), shapes(data, copied))
    flops = _flops(config, image_shape, num_classes) * (each if vectorised else 1)
    return _compiled({"sweep": program.lower(*arguments)}, flops)


def _flops(config: Config, image_shape: tuple[int, int], num_classes: int) -> float:
    """Floating-point operations of a step on one device, as XLA counts them before it optimises."""
    alone = of_one_shard(config)
    training = make_placed_training(alone, image_shape, num_classes).training
    numbers = hyperparameters(alone)
    state, batch = jax.eval_shape(training.init, numbers), blank(alone.batch_size, image_shape)
    cost: Any = jax.jit(training.train_step).lower(numbers, state, batch).cost_analysis()
    return float(cost["flops"])


def _compiled(programs: Mapping[str, Any], flops: float) -> Compiled:
    memory, seconds, texts = (0, 0, 0), {}, {}
    for name, program in programs.items():
        started = time.perf_counter()
        compiled = program.compile()
        seconds[name] = time.perf_counter() - started
        texts[name] = compiled.as_text()
        m = compiled.memory_analysis()
        kept = m.output_size_in_bytes - m.alias_size_in_bytes
        memory = max(
            memory, (m.argument_size_in_bytes, m.temp_size_in_bytes, max(kept, 0)), key=sum
        )
    step, outside = hlo.read_step(next(iter(texts.values())))
    wrong = sorted({what for text in texts.values() for what in hlo.forbidden(text)})
    return Compiled(memory, flops, step, outside, wrong, seconds, texts)
