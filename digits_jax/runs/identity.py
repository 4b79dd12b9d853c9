"""What a run's numbers depend on, so that others are neither mixed with them nor taken for them."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

import digits_jax
from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.names import shown
from digits_jax.runs.directories import IDENTITY_FILE
from digits_jax.runs.files import read_json, write_atomically
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
PACKAGES = ("jax", "jaxlib", "optax", "numpy")
# What may change while a run is stopped, with a warning: results may be rounded otherwise.
ROUNDING = ("device", "versions")
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


def epochs_may_grow(settings: Any) -> bool:
    """Whether the epochs made so far would be the same in a longer run: of a Config, or flags."""
    return settings.schedule == "constant" and not settings.fade


def versions() -> dict[str, str]:
    """The versions of what a run's numbers come from."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    own = {"python": platform.python_version(), "digits_jax": digits_jax.__version__}
    return own | packages


def of_run(config: Config, splits: Splits, data: str) -> dict[str, Any]:
    """What a run begins with, as JSON takes it: its settings, its data, and what computes it.

    Args:
        config: the run.
        splits: its data.
        data: their `data_sha256`.
    """
    identity = settings(config)
    if epochs_may_grow(config):
        del identity["epochs"]
    return identity | {
        "image_shape": splits.image_shape,
        "num_classes": splits.num_classes,
        "random_keys": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
        "data": data,
        **computed_by(),
    }


def computed_by() -> dict[str, Any]:
    """What computes a run, as far as its numbers depend on it."""
    device = jax.devices()[0].device_kind
    return {"numerics": numerics(), "device": device, "versions": versions()}


def check(directory: Path, here: dict[str, Any]) -> list[str]:
    """Compares an identity with the one that the run or sweep in `directory` began with, if known.

    Returns:
        Lines for the user, as `check_same` gives them.

    Raises:
        ValueError: in one line, as `check_same`, or where the file is damaged.
        OSError: it cannot be read.
    """
    path = directory / IDENTITY_FILE
    if not path.exists():
        return []
    saved = read_json(path)
    try:
        return check_same(saved, here)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None


def record(directory: Path, here: dict[str, Any]) -> None:
    """Writes what a run or sweep begins with; where it goes on, what it began with stays.

    Raises:
        OSError: it cannot be written.
    """
    path = directory / IDENTITY_FILE
    if not path.exists():
        write_atomically(path, (json.dumps(here, indent=2) + "\n").encode())


def check_same(saved: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Checks that a run of the identity `saved` goes on as one of the identity `here`.

    What `saved` lacks, as an earlier version did not record it, is taken to be the same.

    Returns:
        A line for each difference that may change the last bits, and nothing else.

    Raises:
        ValueError: in one line, where anything else differs.
    """
    # JSON has no tuples; an earlier version had fewer settings.
    default, here = json.loads(json.dumps((settings(Config()), here)))
    saved = default | saved
    for name in saved.keys() - default.keys() - here.keys():
        told = f"this version knows no setting {name}, which is {saved[name]} there"
        raise ValueError(shown(told))
    differ = [name for name in here if saved.get(name, here[name]) != here[name]]
    for name in differ:
        if name not in ROUNDING:
            told = f"of another run: {name} is {saved[name]} there, and {here[name]} here"
            raise ValueError(shown(told))
    return [
        f"the run began with {name} {_short(saved[name], here[name])}, and goes on with "
        f"{_short(here[name], saved[name])}: the last bits may differ"
        for name in differ
    ]


def _short(value: Any, other: Any) -> str:
    """What differs of a value from the other."""
    if not (isinstance(value, dict) and isinstance(other, dict)):
        return str(value)
    return ", ".join(f"{name} {value[name]}" for name in value if value[name] != other.get(name))
