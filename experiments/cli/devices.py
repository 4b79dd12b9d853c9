"""Flags of the devices that a script uses, and of the threads of a CPU."""

import os

import jax
from absl import flags as absl_flags

from digits_jax.parallel.distributed import Job
from digits_jax.runs.identity import usable_cores
from digits_jax.training import product_flops
from experiments.cli import flags
from experiments.cli.flags import FLAGS

MOST_CPU_DEVICES = 1024  # each is a few threads
# Floating-point operations of a step's products from which a second thread gains something: with
# 1.8e7 (784-30-10, batches of 128) both were equal, with 1.4e6 one thread took 0.6 of the time, and
# with 1.0e9 (cnn.flags) 1.4 times the time.
WORTH_THREADS = 3e7


def define_cpu_devices(text: str, module_name: str) -> None:
    """Defines how many devices JAX makes of a CPU."""
    absl_flags.DEFINE_string("cpu_devices", "auto", text, module_name=module_name)


def define_data_parallel() -> None:
    """Defines the flags of one training on many devices."""
    text = "share the run among all devices: --shards is their number"
    absl_flags.DEFINE_bool("data_parallel", False, text, module_name="run")
    define_cpu_devices("CPU devices; auto: --shards, or a core each for --data_parallel", "run")


def define_threads() -> None:
    """Defines how many threads XLA has on a CPU."""
    text = "threads of the CPU; auto: 1 where the network is small, else one a core"
    absl_flags.DEFINE_string("cpu_threads", "auto", text, module_name="run")


def use_threads(job: Job) -> None:
    """Gives XLA as many threads as `--cpu_threads` says, before JAX first looks for devices.

    auto leaves them as they are where several devices or processes share the run, or PJRT_NPROC
    says how many: XLA reads their number there.

    Raises:
        ValueError: in one line, where the flag is neither auto nor a number, or contradicts
            PJRT_NPROC.
    """
    text, given = FLAGS.cpu_threads, os.environ.get("PJRT_NPROC")
    if text == "auto":
        shared = FLAGS.data_parallel or FLAGS.shards > 1 or job.processes > 1
        if given is None and not shared and product_flops(flags.config()) < WORTH_THREADS:
            os.environ["PJRT_NPROC"] = "1"
        return
    if not (text.isdigit() and 0 < int(text) <= MOST_CPU_DEVICES):
        raise ValueError(
            f"cpu_threads={text}: expected auto, or an integer from 1 to {MOST_CPU_DEVICES}"
        )
    if given not in (None, text):
        raise ValueError(f"cpu_threads={text}: the environment says PJRT_NPROC={given}: unset one")
    os.environ["PJRT_NPROC"] = text


def use_cpu_devices(auto: int) -> None:
    """Makes as many CPU devices as `--cpu_devices` says, before JAX first looks for devices.

    auto leaves it to JAX_NUM_CPU_DEVICES, or to XLA_FLAGS, where one of them says how many.

    Raises:
        ValueError: where it is neither auto nor a number, or contradicts XLA_FLAGS.
    """
    text: str = FLAGS.cpu_devices
    if text != "auto" and not (text.isdigit() and 0 < int(text) <= MOST_CPU_DEVICES):
        raise ValueError(
            f"cpu_devices={text}: expected auto, or an integer from 1 to {MOST_CPU_DEVICES}"
        )
    by_xla = "--xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if text == "auto" and (by_xla or "JAX_NUM_CPU_DEVICES" in os.environ):
        return
    if by_xla:
        raise ValueError(f"cpu_devices={text}: XLA_FLAGS say how many devices: unset one of them")
    count = auto if text == "auto" else int(text)
    if text != "auto" or count > 1:
        try:
            jax.config.update("jax_num_cpu_devices", count)  # type: ignore[no-untyped-call]
        except RuntimeError:
            raise ValueError(
                f"cpu_devices={count}: a file of --entries has used JAX before the number of "
                "devices could be set: move that into a function"
            ) from None


def take_shards(job: Job) -> None:
    """Makes the devices of a run that may be shared, and puts their number into `--shards`.

    1 leaves it to the devices, where the run uses all of them, as with `--data_parallel` or in a
    job of several processes.

    Raises:
        ValueError: where there are fewer devices than asked for, or all are to be used and there
            are more; where a run that goes on had fewer.
    """
    shards, use_all = FLAGS.shards, FLAGS.data_parallel or job.processes > 1
    use_cpu_devices(
        auto=usable_cores() if use_all and shards == 1 else max(1, shards // job.processes)
    )
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
        remedy = ""
        if kind == "cpu":
            remedy = f": give --cpu_devices={shards}, and no XLA_FLAGS or JAX_NUM_CPU_DEVICES"
        raise ValueError(
            f"shards={shards} need as many devices, and there are {count} ({kind}){remedy}"
        )
    if use_all:
        FLAGS["shards"].value = count
