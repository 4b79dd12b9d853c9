"""What runs in a worker: each function gives functions by name, to be called and timed.

Each worker imports only what it asks for: this module itself imports nothing large.
"""

import functools
import importlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.benchmarks.workers import ROOT, Functions
from experiments.cli.timing import measure

# ru_maxrss is in bytes on macOS, in kibibytes elsewhere.
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
# Large enough for the full rate; on an accelerator that takes more.
CPU_SIZE, ACCELERATOR_SIZE, PRODUCT_SECONDS = 1024, 8192, 0.05


def _training(
    start: Callable[[int], Any], epoch: Callable[[], Any], accuracy: Callable[[], float]
) -> Functions:
    """The function `turn`: a training of so many epochs, from another seed each time."""
    seeds = itertools.count()

    def turn(epochs: int) -> dict[str, float]:
        start(next(seeds))
        times = []
        for _ in range(epochs):
            began = time.perf_counter()
            epoch()
            times.append(time.perf_counter() - began)
        # The first epoch finds caches that somebody else has filled.
        return {"epoch": statistics.median(times[1:] or times), "test accuracy": accuracy()}

    return {"turn": turn}


def peer(module: str, batch_size: int, form: Sequence[str]) -> Functions:
    """A training by a module of `experiments.peers`, in one of its forms."""
    from experiments.peers import classic

    make = importlib.import_module(f"experiments.peers.{module}").make_training
    training = make(classic.load(), batch_size, *form)
    epoch = functools.partial(training.train, classic.TRAIN_SIZE // batch_size)
    return _training(training.start, epoch, training.accuracy)


@functools.cache
def tiled(train_size: int) -> Any:
    """MNIST with its training images from the front, repeated where more are asked for."""
    import numpy as np

    from digits_jax import data
    from digits_jax.data.dataset import Dataset

    splits = data.load("mnist", None, min(train_size, 60_000), 0)
    rows = np.arange(train_size) % len(splits.train.labels)
    return splits._replace(train=Dataset(*(array[rows] for array in splits.train)))


def ours(**settings: Any) -> Functions:
    """A training by this project; `settings` are of Config, without validation images."""
    import jax
    import numpy as np

    from digits_jax.config import Config, hyperparameters
    from digits_jax.runs.programs import compile_programs

    config = Config.from_dict({"validation_size": 0, **settings})  # JSON has lists alone
    splits = tiled(config.train_size)
    programs = compile_programs(config, splits)
    train_set, test_set = jax.device_put((splits.train, splits.test))
    numbers = jax.device_put(hyperparameters(config))
    state: Any = None

    def start(seed: int) -> None:
        nonlocal state
        state = programs.init(jax.device_put(numbers._replace(seed=np.uint32(seed))))

    def epoch() -> None:
        nonlocal state
        state, metrics = programs.epoch(numbers, state, train_set)
        metrics.loss.block_until_ready()

    def accuracy() -> float:
        return float(programs.evaluate_test(state.judged, test_set).accuracy)

    return _training(start, epoch, accuracy)


def sweep(networks: int, **settings: Any) -> Functions:
    """The function `seconds`: what training and scoring so many takes, compilation not counted.

    Each is of the same settings of Config, without validation images, with a seed of its own.
    """
    from digits_jax.config import Config
    from digits_jax.parallel import sweeps
    from experiments.cli import compilation_cache

    compilation_cache.use()  # a sweep compiles at each call
    configs = [Config(validation_size=0, seed=seed, **settings) for seed in range(networks)]
    splits = tiled(configs[0].train_size)
    return {"seconds": lambda: sum(seconds for _, _, seconds in sweeps.sweep(configs, splits))}


def device() -> Functions:
    """The functions `platform`, as in cpu, and `kind`, what JAX calls the device."""
    import jax

    first = jax.devices()[0]
    return {"platform": lambda: first.platform, "kind": lambda: first.device_kind}


def product(library: str) -> Functions:
    """The function `turn`: the rate of a float32 product of large matrices by jax, numpy, torch."""
    import numpy as np

    multiply: Callable[[], Any]
    size = CPU_SIZE
    if library == "jax":
        import jax

        size = CPU_SIZE if jax.default_backend() == "cpu" else ACCELERATOR_SIZE
        a, b = jax.device_put(tuple(np.random.default_rng(0).random((2, size, size), np.float32)))
        compiled = jax.jit(jax.numpy.matmul)
        multiply = lambda: compiled(a, b).block_until_ready()  # noqa: E731
    else:
        a, b = np.random.default_rng(0).random((2, size, size), np.float32)
        if library == "torch":
            import torch

            a, b = map(torch.from_numpy, (a, b))
            multiply = functools.partial(torch.mm, a, b, out=torch.empty_like(a))
        else:
            multiply = functools.partial(np.matmul, a, b, out=np.empty_like(a))
    return {"turn": lambda: {"sgemm": 2 * size**3 / measure(multiply, PRODUCT_SECONDS).seconds}}


def launcher() -> Functions:
    """The function `run`: whole processes, started from a small one.

    A process counts as its own peak memory what the one that started it had at that moment.
    """
    return {"run": run}


def run(command: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    """Runs a command to its end: its time in seconds, peak memory in bytes and standard output.

    Raises:
        ModuleNotFoundError: where it ended for want of a module.
        ChildProcessError: with the last line of its standard error, where it failed otherwise.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"status {process.returncode}"])[-1]
            wanted = re.fullmatch(r"ModuleNotFoundError: No module named '([^']+)'", last)
            if wanted:
                raise ModuleNotFoundError(last, name=wanted[1])
            raise ChildProcessError(last)
        output.seek(0)
        memory = usage.ru_maxrss * MEMORY_UNIT
        return {"seconds": seconds, "memory": memory, "output": output.read()}
