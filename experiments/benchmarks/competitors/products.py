"""Single products of large matrices: what a machine's fastest code makes of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks.workers import Functions

# Large enough for the full rate; on an accelerator that takes more.
CPU_SIZE, ACCELERATOR_SIZE = 1024, 8192


def product(library: str) -> Functions:
    """The functions `product` and `operations` of a float32 product by `library`."""
    multiply, size = LIBRARIES[library]()
    return {"product": multiply, "operations": lambda: 2 * size**3}


def _matrices(size: int) -> Any:
    return np.random.default_rng(0).random((2, size, size), np.float32)


def _numpy() -> tuple[Callable[[], Any], int]:
    a, b = _matrices(CPU_SIZE)
    product = np.empty_like(a)
    return lambda: np.matmul(a, b, out=product), CPU_SIZE


def _torch() -> tuple[Callable[[], Any], int]:
    import torch

    a, b = torch.from_numpy(_matrices(CPU_SIZE))
    product = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=product), CPU_SIZE


def _jax() -> tuple[Callable[[], Any], int]:
    import jax

    size = CPU_SIZE if jax.default_backend() == "cpu" else ACCELERATOR_SIZE
    a, b = jax.device_put(tuple(_matrices(size)))
    product = jax.jit(jax.numpy.matmul)
    return lambda: product(a, b).block_until_ready(), size


LIBRARIES = {"numpy": _numpy, "torch": _torch, "jax": _jax}
