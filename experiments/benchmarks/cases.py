"""Who takes part in each section of the benchmark, and in which forms."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from experiments.benchmarks.turns import COLD, ROOT, WARM, WORKDIR, Case
from experiments.cli import processor
from experiments.peers.classic import CLASSES, HIDDEN, PIXELS, TRAIN_SIZE

ONE, ALL = 1, os.cpu_count() or 1
THREADS = sorted({ONE, ALL})
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
CACHE = "JAX_COMPILATION_CACHE_DIR"
AUTODIFF, CROSS_ENTROPY = "autodiff", "autodiff, cross-entropy"
# Operations of the classic network's matrix products in an epoch: forward and the gradients of the
# weights through both layers, and delta through the second.
OPERATIONS = TRAIN_SIZE * 2 * (2 * PIXELS * HIDDEN + 3 * HIDDEN * CLASSES)
# The network of recipes/cnn.flags with an optimizer that PyTorch has too, without distortions,
# average, smoothing, decay and schedule.
CNN_BATCH_SIZE = 64
CONVOLUTIONAL = {
    "hidden": ("conv24x5/2", "conv48/2", "conv96"),
    "activation": "relu",
    "loss": "cross_entropy",
    "optimizer": "adamw",
    "learning_rate": 0.003,
}
WAYS = {AUTODIFF: {}, "manual": {"gradients": "manual"}}
Peer = tuple[str, dict[str, list[Any]], dict[str, str]]
# Its module of `experiments.peers`, the settings of its forms, and the variables of its process.
PEERS: dict[str, Peer] = {
    "NumPy": (
        "numpy_training",
        {"layout": ["out, in", "in, out"], "rows": ["float32", "uint8"]},
        {},
    ),
    # OpenBLAS takes kernels without AVX-512, half as fast, on a processor that it does not know.
    "NumPy (SkylakeX)": (
        "numpy_training",
        {"layout": ["out, in", "in, out"], "rows": ["float32", "uint8"]},
        {"OPENBLAS_CORETYPE": "SkylakeX"},
    ),
    "PyTorch eager": ("torch_training", {}, {}),
    "torch.compile": ("torch_training", {"update": ["compiled"], "rows": ["uint8"]}, {}),
    "scikit-learn": ("sklearn_training", {}, {}),
}
CNN_PEERS: dict[str, Peer] = {
    f"PyTorch {form}": ("torch_cnn", {"form": [form]}, {})
    for form in ("contiguous", "channels_last", "compiled")
}
SCRIPTS = ("NumPy", "NumPy (SkylakeX)", "PyTorch eager")  # timed as whole processes too
PRODUCT = {"product": True}  # measures the rate of a large matrix product as well
SWEEP_EPOCHS = 3
Cases = Iterator[list[Case]]


def ours(section: str, name: str, setting: object, fields: Mapping[str, Any], **more: Any) -> Case:
    """A training by this project in a warm process; `fields` are of Config."""
    words = ("experiments.peers.ours", json.dumps({**fields, **more}))
    return Case(section, name, str(setting), words, {CACHE: WARM})


def peer(section: str, name: str, of: Peer, **more: Any) -> list[Case]:
    """A peer in every form, on one thread and on all cores; none that the processor cannot run."""
    module, settings, variables = of
    if variables and "avx512f" not in processor.instructions():
        return []
    cases = []
    for values in itertools.product(*settings.values()):
        for threads in THREADS:
            form = dict(zip(settings, values, strict=True))
            words = (f"experiments.peers.{module}", json.dumps({**form, **more}))
            environment = dict.fromkeys(THREAD_VARIABLES, str(threads)) | variables
            label = ", ".join([*map(str, values), f"{threads} thread{'s' if threads > 1 else ''}"])
            cases.append(Case(section, name, str(more["batch_size"]), words, environment, label))
    return cases


def epochs(peers: Sequence[str], batch_sizes: Sequence[int], **_: Any) -> Cases:
    """One epoch of the classic training, by batch size."""
    # What scikit-learn trains, with its learning rate.
    other = {CROSS_ENTROPY: {"loss": "cross_entropy", "learning_rate": 0.3}}
    for size in batch_sizes:
        settings: dict[str, Any] = {"batch_size": size, "epochs": 5, **PRODUCT}
        for name, fields in (WAYS | (other if "scikit-learn" in peers else {})).items():
            yield [ours("epochs", name, size, fields, **settings)]
        for name in PEERS:
            if name in peers:
                yield peer("epochs", name, PEERS[name], **settings)


def cnn(peers: Sequence[str], **_: Any) -> Cases:
    """A step of a convolutional network."""
    settings: dict[str, Any] = {"batch_size": CNN_BATCH_SIZE, "epochs": 2}
    for name, fields in WAYS.items():
        yield [ours("cnn", name, CNN_BATCH_SIZE, {**CONVOLUTIONAL, **fields}, **settings)]
    for name, of in CNN_PEERS.items():
        if name in peers:
            yield peer("cnn", name, of, **settings)


def process(section: str, name: str, words: Sequence[str], cache: str) -> Case:
    """A whole run of `experiments.train`."""
    setting = "cold" if cache == COLD else "warm"
    command = ("experiments.train", *words, f"--workdir={WORKDIR}")
    return Case(section, name, setting, command, {CACHE: cache})


def processes(peers: Sequence[str], **_: Any) -> Cases:
    """The classic run as whole processes, from the shell to the test accuracy."""
    for name, words in (
        (AUTODIFF, []),
        ("manual", ["--gradients=manual"]),
        ("autodiff, no validation images", ["--validation_size=0"]),
    ):
        yield [process("process", name, words, COLD)]
        yield [process("process", name, words, WARM)]
    for name in SCRIPTS:
        if name in peers:
            forms = peer("process", name, PEERS[name], batch_size=10)
            yield [form._replace(setting="") for form in forms]


def recipes(where: str = f"{ROOT}/experiments/recipes", **_: Any) -> Cases:
    """Every recipe as a whole process."""
    for name in sorted(name for name in os.listdir(where) if name.endswith(".flags")):
        words = [f"--flagfile={where}/{name}"]
        yield [process("recipes", name.removesuffix(".flags"), words, COLD)]


def growth(growth_batch_sizes: Sequence[int], train_sizes: Sequence[int], **_: Any) -> Cases:
    """The time of an epoch over more and more images: MNIST, repeated."""
    for images, size, (name, fields) in itertools.product(
        train_sizes, growth_batch_sizes, WAYS.items()
    ):
        if size <= images:
            settings = {"train_size": images, "batch_size": size, "epochs": 3 + 200_000 // images}
            yield [ours("growth", f"{name}, batch {size}", images, fields, **settings)]


def sweeps(networks: Sequence[int], platform: str, **_: Any) -> Cases:
    """The time of more and more networks in one sweep; on a CPU over one device and a core each."""
    for lanes, count, (name, fields) in itertools.product(
        THREADS if platform == "cpu" else [ONE], networks, WAYS.items()
    ):
        if count >= lanes:
            case = ours("sweeps", name, count, fields, networks=count, epochs=SWEEP_EPOCHS)
            label = f"{lanes} lane{'s' if lanes > 1 else ''}" if platform == "cpu" else platform
            more = {"JAX_NUM_CPU_DEVICES": str(lanes)} if platform == "cpu" else {}
            yield [case._replace(name=f"{name}, {label}", environment={**case.environment, **more})]


SECTIONS: dict[str, Callable[..., Cases]] = {
    "epochs": epochs,
    "processes": processes,
    "growth": growth,
    "sweeps": sweeps,
    "cnn": cnn,
    "recipes": recipes,
}
