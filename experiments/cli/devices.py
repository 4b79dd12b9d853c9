"""Flags of the devices that a script uses."""

import jax
import psutil
from absl import flags as absl_flags

from digits_jax.parallel.distributed import Job
from experiments.cli.flags import FLAGS

MOST_CPU_DEVICES = 1024  # each is a few threads


def define_cpu_devices(text: str, module_name: str) -> None:
    """Defines how many devices JAX makes of a CPU."""
    absl_flags.DEFINE_string("cpu_devices", "auto", text, module_name=module_name)


def define_data_parallel() -> None:
    """Defines the flags of one training on many devices."""
    text = "share the run among all devices: --shards is their number"
    absl_flags.DEFINE_bool("data_parallel", False, text, module_name="run")
    define_cpu_devices("CPU devices; auto: --shards, or a core each for --data_parallel", "run")


def use_cpu_devices(auto: int) -> None:
    """Makes as many CPU devices as `--cpu_devices` says, before JAX first looks for devices.

    Raises:
        ValueError: where it is neither auto nor a number.
    """
    text: str = FLAGS.cpu_devices
    if text != "auto" and not (text.isdigit() and 0 < int(text) <= MOST_CPU_DEVICES):
        raise ValueError(
            f"cpu_devices={text}: expected auto or a whole number of at least 1, and at most "
            f"{MOST_CPU_DEVICES}"
        )
    count = auto if text == "auto" else int(text)
    if text != "auto" or count > 1:  # else what the environment says stays
        try:
            jax.config.update("jax_num_cpu_devices", count)  # type: ignore[no-untyped-call]
        except RuntimeError:
            raise ValueError(
                f"cpu_devices={count}: a file of --entries has used JAX before the number of "
                "devices could be set: move that into a function"
            ) from None


def cores() -> int:
    """The cores that this process may run on."""
    try:
        return len(psutil.Process().cpu_affinity() or ()) or 1
    except AttributeError:  # macOS
        return psutil.cpu_count() or 1


def take_shards(job: Job) -> None:
    """Makes the devices of a run that may be shared, and puts their number into `--shards`.

    1 leaves it to the devices, where the run uses all of them, as with `--data_parallel` or in a
    job of several processes.

    Raises:
        ValueError: where there are fewer devices than asked for, or all are to be used and there
            are more; where a run that goes on had fewer.
    """
    shards, use_all = FLAGS.shards, FLAGS.data_parallel or job.processes > 1
    use_cpu_devices(auto=cores() if use_all and shards == 1 else max(1, shards // job.processes))
    if shards <= 1 and not use_all:
        return  # not even looking for devices: it takes time
    count, kind = jax.device_count(), jax.default_backend()
    if count != job.processes * jax.local_device_count():
        raise ValueError(
            f"{job} has {jax.local_device_count()} devices of {count}: "
            "all processes of a job need as many, as by --cpu_devices"
        )
    if use_all and (shards not in (1, count) or (FLAGS.resume and shards != count)):
        raise ValueError(
            f"shards={shards}: all devices are to share the run, and there are {count} ({kind})"
        )
    if shards > count:
        remedy = f": give --cpu_devices={shards}" if kind == "cpu" else ""
        raise ValueError(
            f"shards={shards} need as many devices, and there are {count} ({kind}){remedy}"
        )
    if use_all:
        FLAGS["shards"].value = count
