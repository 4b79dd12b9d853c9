"""What a run's numbers depend on, so that others are neither mixed with them nor taken for them."""

import enum
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil

import digits_jax
from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.names import shown
from digits_jax.runs.directories import IDENTITY_FILE
from digits_jax.runs.files import read_json, write_atomically
from digits_jax.runs.tensor_file import sha256

# Options of JAX that may change numbers, and their defaults in jax 0.10.2. An option that a later
# JAX puts into the key of its compiled programs is told whatever its value is.
MOSTLY_OFF = re.findall(
    r"\w+",
    """jax_enable_x64 jax_disable_jit jax_disable_most_optimizations jax_scan3 jax_remat3
    jax_custom_vjp3 jax_threefry_gpu_kernel_lowering jax_use_simplified_jaxpr_constants
    jax_remove_size_one_mesh_axis_from_type check_vma jax_softmax_custom_jvp jax_enable_pgle
    jax_use_emit_pipeline_primitive eager_constant_folding jax_high_dynamic_range_gumbel
    jax_ragged_dot_use_gpu_pallas_triton_lowering jax_bcoo_cusparse_lowering""",
)
MOSTLY_ON = re.findall(
    r"\w+",
    """jax_threefry_partitionable jax_use_direct_linearize jax_auto_pcast jax_allow_f16_reductions
    jax_use_shardy_partitioner jax_pallas_use_mosaic_gpu""",
)
NUMERIC_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(MOSTLY_OFF, False),
    **dict.fromkeys(MOSTLY_ON, True),
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_random_seed_offset": 0,
    "jax_numpy_dtype_promotion": "standard",
    "jax_explicit_x64_dtypes": "warn",
    "jax_embedded_constants_max_bytes": 32,
    "jax_pgle_profiling_runs": 3,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_optimization_level": "UNKNOWN",
    "jax_xla_profile_version": 0,
}
# In that key, too, and of no consequence for numbers: what is checked, placed or printed.
UNCONCERNED = re.compile(
    r"jax_(debug|check|error_checking|default_device|numpy_rank|hlo_source|no_execution|"
    r"mutable_array_checks|pallas_enable_debug).*|.*context.*|axis_env_state"
)
PACKAGES = ("jax", "jaxlib", "optax", "numpy")
# What may change while a run is stopped, with a warning: results may be rounded otherwise.
ROUNDING = ("device", "threads", "versions")
HARMLESS = ("--xla_force_host_platform_device_count", "--xla_dump")


def data_sha256(splits: Splits) -> str:
    """The SHA-256 of all images and labels that a run trains on and is scored on."""
    leaves = enumerate(jax.tree.leaves(splits[:3]))
    return sha256({str(number): np.asarray(array) for number, array in leaves})


def numerics() -> str:
    """The options of JAX and XLA that change numbers, as far as they are not `default`."""
    from jax._src import config as options  # no public name gives the key of compiled programs

    values = jax.config.values
    in_key: tuple[str, ...] = getattr(options, "trace_context_names", tuple)()
    new = [n for n in in_key if n in values and not UNCONCERNED.fullmatch(n)]
    told = {name: _plain(values.get(name)) for name in dict.fromkeys([*NUMERIC_OPTIONS, *new])}
    other = [f"{name}={v}" for name, v in told.items() if v != NUMERIC_OPTIONS.get(name, told)]
    xla = os.environ.get("XLA_FLAGS", "").split()
    return " ".join(other + [flag for flag in xla if not flag.startswith(HARMLESS)]) or "default"


def _plain(value: Any) -> Any:
    """The value of an option; of one of several named choices, its name."""
    return value.name.lower() if isinstance(value, enum.Enum) else value


def cpu_threads() -> int:
    """The threads that XLA has on this CPU: as many as PJRT_NPROC says, or there are cores."""
    given = os.environ.get("PJRT_NPROC", "")
    return int(given) if given.isdigit() and int(given) else usable_cores()


def usable_cores() -> int:
    """The cores that this process may run on."""
    try:
        return len(psutil.Process().cpu_affinity() or ()) or 1
    except AttributeError:  # macOS
        return psutil.cpu_count() or 1


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
    device = jax.devices()[0]
    threads = {"threads": cpu_threads()} if device.platform == "cpu" else {}
    named = {"numerics": numerics(), "device": device.device_kind, "versions": versions()}
    return named | threads


def check(directory: Path, here: dict[str, Any], other_device: bool = False) -> list[str]:
    """Compares an identity with the one that the run or sweep in `directory` began with, if known.

    Args:
        directory: of the run or sweep.
        here: the identity of what is to go on.
        other_device: whether it may go on on a device of another kind.

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
        notes = check_same(saved, here)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    if saved.get("device", here["device"]) != here["device"] and not other_device:
        raise ValueError(
            f"{directory} began on {saved['device']}, and this is {here['device']}, which rounds "
            "otherwise: --other_device goes on all the same"
        )
    return notes


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
