"""What a run's numbers depend on, so that others are neither mixed with them nor taken for them."""

import os
from typing import Any

import jax
import numpy as np

from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.runs.tensor_file import sha256

# Options of JAX, mostly set by environment variables, that change numbers; what they mostly are.
NUMERIC_OPTIONS = {
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_numpy_dtype_promotion": "standard",
    "jax_disable_jit": False,
}
HARMLESS = ("--xla_force_host_platform_device_count", "--xla_dump")


def data_sha256(splits: Splits) -> str:
    """The SHA-256 of all images and labels that a run trains on and is scored on."""
    leaves = enumerate(jax.tree.leaves(splits[:3]))
    return sha256({str(number): np.asarray(array) for number, array in leaves})


def numerics() -> str:
    """The options of JAX and XLA that change numbers, as far as they are not `default`."""
    options = {name: getattr(jax.config, name) for name in NUMERIC_OPTIONS}
    other = [f"{name}={v}" for name, v in options.items() if v != NUMERIC_OPTIONS[name]]
    xla = os.environ.get("XLA_FLAGS", "").split()
    return " ".join(other + [flag for flag in xla if not flag.startswith(HARMLESS)]) or "default"


def settings(config: Config) -> dict[str, Any]:
    """All settings but the place of the data, which `data_sha256` knows wherever they are."""
    return {name: value for name, value in vars(config).items() if name != "data_dir"}


def epochs_may_grow(config: Config) -> bool:
    """Whether the epochs made so far would be the same in a longer run."""
    return config.schedule == "constant"


def of_checkpoints(config: Config, splits: Splits, data: str) -> dict[str, Any]:
    """What two runs have in common that may restore each other's checkpoints."""
    identity = settings(config)
    if epochs_may_grow(config):
        del identity["epochs"]
    return {
        **identity,
        "image_shape": splits.image_shape,
        "num_classes": splits.num_classes,
        "random_keys": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
        "data": data,
        "numerics": numerics(),
    }
