"""What compilers make of a run: for TPUs and GPUs that are not there, and for CPUs. Nothing is run.

usage: python -m experiments.compile_for [--target=tpu:v5e:4x4] [--target=gpu:h100] [--seeds=N]
       [flags of experiments.train]

Compiles the epoch and the evaluation of a training, shared among all devices of a target, or with
--seeds=N that many networks of a sweep side by side. For each target it prints whether the run fits
into a device, what a step computes, moves, sends and calls, and the cycles that the compiler
expects. Targets: cpu, cpu:8 (devices), tpu:v4, v5e, v5p or v6e, also with a topology, gpu:h100,
a100 or t4.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax.config import Config
from digits_jax.parallel.targets import Compiled, Target, compile_run, compile_sweep, find
from experiments.cli import flags, records, script

TITLE = "# What compilers make of a run"
PACKAGES = ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin")
ABOUT = (
    "Nothing was run: all figures are the compilers', of one device. Memory is what the largest "
    "program takes for its arguments, temporaries and outputs. A step is one of the training loop; "
    "its FLOPs are counted as it is written, before the compiler; its bytes are those that its "
    "operations read and write in any memory. Cycles are the compiler's own estimate, and the time "
    "is what they take at the chip's clock: an estimate, too."
)


def amount(count: float, unit: str = "B") -> str:
    """A number as a person reads it: 1.2 MB."""
    power = min(5, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P')[power]}{unit}"


def lines(config: Config, target: Target, found: Compiled) -> dict[str, str]:
    """What is told of a target, line by line."""
    step, needed = found.step, sum(found.memory)
    fits = "unknown" if not target.memory else "yes" if needed <= target.memory else "NO"
    cycles = f"{step.cycles:,}" if step.cycles else "none given"
    seconds = step.cycles and target.clock and step.cycles / target.clock
    took = "unknown"
    if seconds:
        epoch = records.duration(seconds * config.steps_per_epoch)
        took = f"{records.duration(seconds)} a step, {epoch} an epoch"
    elif target.bandwidth and not step.cycles:
        took = f"at least {records.duration(step.bytes_moved / target.bandwidth)} for the bytes"
    calls = [f"{count} {name}" for name, count in sorted(step.calls.items())]
    return {
        "devices": f"{len(target.devices)} {target.devices[0].device_kind}",
        "memory": " + ".join(map(amount, found.memory)),
        "fits": f"{fits}: {amount(needed)} of {amount(target.memory or math.nan)}",
        "FLOPs a step": f"{amount(found.flops, '')} in {step.kernels:,} operations",
        "bytes a step": amount(step.bytes_moved),
        "sent a step": sent(step.collectives),
        "sent besides": sent(found.outside),
        "cycles a step": cycles,
        "time": took,
        "calls a step": ", ".join(calls) or "none",
    }


def sent(collectives: Mapping[str, Sequence[int]]) -> str:
    """Collectives with the bytes that go in: 1 all-reduce of 95.4 kB."""
    told = [f"{len(n)} {name} of {amount(sum(n))}" for name, n in sorted(collectives.items())]
    return ", ".join(told) or "nothing"


def compiled(config: Config, target: Target, shape: tuple[int, int]) -> tuple[dict[str, str], str]:
    """The lines of a target, and how long compiling took.

    Raises:
        RuntimeError: where the compiler refuses the program.
    """
    classes = flags.FLAGS.classes
    try:
        found: Compiled = (
            compile_sweep(config, target, shape, classes, flags.FLAGS.seeds)
            if flags.FLAGS.seeds
            else compile_run(config, target, shape, classes)
        )
    except jax.errors.JaxRuntimeError as error:
        raise RuntimeError(f"target={target.name}: it does not compile: {error}") from None
    took = ", ".join(f"{name} {records.duration(s)}" for name, s in found.seconds.items())
    if found.forbidden:
        took += f"; it holds {', '.join(found.forbidden)}"
    return lines(config, target, found), took


def configured(target: Target) -> Config:
    """The run for a target: shared among all of its devices, or as many as --shards says."""
    config = flags.config()
    count = len(target.devices)
    if flags.FLAGS.seeds:
        return config
    if config.shards > count:
        raise ValueError(f"shards={config.shards}: target={target.name} has {count} devices")
    return config if config.shards > 1 else dataclasses.replace(config, shards=count)


def main() -> None:
    # The compilers are asked without a device: JAX is not to look for one.
    counts = [int(n) for name in flags.FLAGS.target if (n := name.removeprefix("cpu:")).isdigit()]
    usual = {"jax_platforms": "cpu", "jax_num_cpu_devices": min(max([1, *counts]), 1024)}
    usual["jax_enable_compilation_cache"] = False  # it cannot be read back without the device
    for name, value in usual.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    with script.user_errors(ValueError):
        shape = flags.whole_numbers("image_shape")
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError("image_shape: expected height and width, as in 28,28")
        targets = [find(name) for name in dict.fromkeys(flags.FLAGS.target)]
        configs = list(map(configured, targets))
    with script.user_errors(RuntimeError):
        found = [
            compiled(config, target, (shape[0], shape[1]))
            for config, target in zip(configs, targets, strict=True)
        ]
    header = ("of one device", *(target.name for target in targets))
    table = records.table(
        header, [(name, *(told[name] for told, _ in found)) for name in found[0][0]]
    )
    print(table)
    for target, (_, took) in zip(targets, found, strict=True):
        print(f"compiled for {target.name} in {took}")
    if flags.FLAGS.record:
        where = records.provenance(flags.command("compile_for"), None, "cpu", PACKAGES)
        markdown = "\n\n".join((TITLE, where, ABOUT, table)) + "\n"
        print(f"record  {records.write(flags.FLAGS.record, markdown, {})[0]}")


if __name__ == "__main__":
    flags.define_config()
    about: dict[str, Any] = {"module_name": "target"}
    text = "devices to compile for; may be given several times"
    absl_flags.DEFINE_multi_string("target", ["cpu"], text, **about)
    text = "networks of a sweep, spread over the devices; 0: one training"
    absl_flags.DEFINE_integer("seeds", 0, text, 0, **about)
    absl_flags.DEFINE_list("image_shape", ["28", "28"], "height and width, in pixels", **about)
    absl_flags.DEFINE_integer("classes", 10, "classes", 1, **about)
    records.define_named()
    script.run(main)
