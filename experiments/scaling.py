"""Works out, on paper, what a run takes of each of many devices. Nothing is trained.

usage: python -m experiments.scaling [--devices=8,64,512] [--images=8000000,1000000000]
       [flags of experiments.train; here --batch_size=8192]

Prints a table: bytes that lie on each device, and bytes that it sends. The formulas stand in
digits_jax/scaling.py.
"""

import dataclasses
from typing import Any

from absl import flags as absl_flags

from digits_jax.scaling import Scale, scale
from experiments.cli import flags

HEADER = (
    "| devices | training images | images a device | state | working | in all | all-reduce a step "
    "| steps an epoch | sent an epoch |"
)


def define_flags() -> None:
    """Defines the flags of the table beside those of a run."""
    flags.define_config()
    flags.FLAGS.set_default("batch_size", 8192)
    about: dict[str, Any] = {"module_name": "scaling"}
    absl_flags.DEFINE_list("devices", ["8", "64", "512"], "numbers of devices", **about)
    absl_flags.DEFINE_list("images", ["8000000", "1000000000"], "numbers of images", **about)
    absl_flags.DEFINE_list("image_shape", ["28", "28"], "height and width of an image", **about)
    absl_flags.DEFINE_integer("classes", 10, "classes", lower_bound=1, **about)
    absl_flags.DEFINE_integer("test_size", 10_000, "test images", lower_bound=0, **about)


def amount(count: int) -> str:
    """Bytes as a person reads them: 1.2 GB."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def row(devices: int, images: int, of: Scale) -> str:
    """A line of the table."""
    held = map(amount, (of.train, of.state, of.working, of.resident, of.all_reduce))
    sent = amount(of.sent_per_epoch)
    return f"| {devices:,} | {images:,} | {' | '.join(held)} | {of.steps:,} | {sent} |"


def main() -> None:
    with flags.user_errors(ValueError):
        config = flags.config()
        shape = flags.whole_numbers("image_shape")
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError("image_shape: expected height and width, as in 28,28")
        lines = [HEADER, "|" + " --- |" * HEADER.count(" | ") + " --- |"]
        for images in flags.whole_numbers("images"):
            for devices in flags.whole_numbers("devices"):
                run = dataclasses.replace(config, train_size=images, shards=devices)
                evaluated = (config.validation_size, flags.FLAGS.test_size)
                lines.append(
                    row(devices, images, scale(run, shape, flags.FLAGS.classes, evaluated))
                )
        print("\n".join(lines))


if __name__ == "__main__":
    define_flags()
    flags.run(main)
