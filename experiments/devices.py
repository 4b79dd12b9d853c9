"""Flags of the devices that a script uses."""

import os

import jax
from absl import flags as absl_flags

from experiments.flags import FLAGS


def define_cpu_devices(help: str, module_name: str) -> None:
    """Defines how many devices JAX makes of a CPU."""
    absl_flags.DEFINE_string("cpu_devices", "auto", help, module_name=module_name)


def define_data_parallel() -> None:
    """Defines the flags of one training on many devices."""
    help = "share the run among all devices: --shards is their number"
    absl_flags.DEFINE_bool("data_parallel", False, help, module_name="run")
    define_cpu_devices("CPU devices; auto: --shards, or a core each for --data_parallel", "run")


def use_cpu_devices(auto: int) -> None:
    """Makes as many CPU devices as `--cpu_devices` says, before JAX first looks for devices.

    Raises:
        ValueError: where it is neither auto nor a number.
    """
    text: str = FLAGS.cpu_devices
    if text != "auto" and not (text.isdigit() and int(text) > 0):
        raise ValueError(f"cpu_devices={text}: expected auto or a whole number of at least 1")
    count = auto if text == "auto" else int(text)
    if text != "auto" or count > 1:  # else what the environment says stays
        jax.config.update("jax_num_cpu_devices", count)  # type: ignore[no-untyped-call]


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def use_shards(shards: int) -> int:
    """Makes the devices of a run that may be shared, and gives its number of shards.

    Args:
        shards: those that the run asks for; with `--data_parallel`, 1 leaves it to the devices.

    Raises:
        ValueError: where there are fewer devices, or others with `--data_parallel`.
    """
    use_cpu_devices(auto=cores() if FLAGS.data_parallel and shards == 1 else max(1, shards))
    if shards <= 1 and not FLAGS.data_parallel:
        return shards  # not even looking for devices: it takes time
    count, kind = jax.device_count(), jax.default_backend()
    if FLAGS.data_parallel and shards not in (1, count):
        raise ValueError(
            f"shards={shards} contradicts --data_parallel: there are {count} devices ({kind})"
        )
    if shards > count:
        remedy = f": give --cpu_devices={shards}" if kind == "cpu" else ""
        raise ValueError(
            f"shards={shards} need as many devices, and there are {count} ({kind}){remedy}"
        )
    return count if FLAGS.data_parallel else shards
