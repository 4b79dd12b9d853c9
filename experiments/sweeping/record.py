"""A sweep on record: its command, its settings, and what each setting comes to over the seeds."""

import dataclasses
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags as absl_flags

from digits_jax.config import Config
from experiments import STARTED
from experiments.cli import flags, records
from experiments.cli.flags import FLAGS

HEADER = ("n", "test accuracy", "least", "greatest", "validation accuracy", "seconds a run")


def define() -> None:
    """Defines the flag that puts a sweep on record, under a name of its own."""
    text = "also write the summary into experiments/records, as NAME.md"
    absl_flags.DEFINE_string("record", None, text, module_name="run")
    absl_flags.register_validator(  # type: ignore[no-untyped-call]
        "record",
        lambda name: name is None or re.fullmatch(r"[\w.-]+", name),
        "expected a name, as in classic",
    )


def markdown(
    name: str,
    table: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    config: Config,
    seeds: int,
    provenance: str,
    pictures: Iterable[str],
) -> str:
    """A title, the provenance, the settings, and a row for each of those that are varied.

    Args:
        name: of the record.
        table: what `summary.summarise` makes of the runs.
        varied: the names of the varied fields.
        config: what is not varied.
        seeds: how many, from that of `config` on.
        provenance: as `records.provenance` gives it.
        pictures: by the names that `records.write` takes.
    """
    last = config.seed + seeds - 1
    about = (
        "Accuracy after the last epoch, mean ± standard deviation over the seeds "
        f"{config.seed} to {last}; the time of a run is that of all over their number, without "
        f"compilation. {_settings(config, varied)}"
    )
    lines = [
        [
            *(entry[field] for field in varied),
            entry["n"],
            _accuracy(entry, "test"),
            *(f"{100 * entry[f'test_accuracy_{extreme}']:.2f} %" for extreme in ("min", "max")),
            _accuracy(entry, "validation"),
            f"{entry['seconds']:.3g}",
        ]
        for entry in table
    ]
    return (
        "\n\n".join(
            [
                f"# {name}: accuracy over seeds",
                provenance,
                about,
                records.table([*varied, *HEADER], lines),
                *(f"![{picture}]({name}-{picture}.png)" for picture in pictures),
            ]
        )
        + "\n"
    )


def write(
    name: str,
    table: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    figures: Mapping[str, bytes],
) -> Path:
    """Puts the summary of the sweep that the flags describe on record, and gives its file.

    Raises:
        OSError: where it cannot be written.
    """
    # What was resumed took longer than its last process.
    seconds = None if FLAGS.resume else time.perf_counter() - STARTED
    device = jax.devices()[0].device_kind
    where = records.provenance(f"{flags.command('sweep')} --record={name}", seconds, device)
    pictures = {file.removesuffix(".png"): png for file, png in figures.items()}
    text = markdown(name, table, varied, flags.config(), FLAGS.seeds, where, pictures)
    return records.write(name, text, pictures)[0]


def _accuracy(entry: Mapping[str, Any], split: str) -> str:
    mean, std = (100 * entry[f"{split}_accuracy_{name}"] for name in ("mean", "std"))
    if math.isnan(mean):
        return "none"
    return f"{mean:.2f} %" if math.isnan(std) else f"{mean:.2f} ± {std:.2f} %"


def _settings(config: Config, varied: Sequence[str]) -> str:
    """What the runs have in common and the classic run has not."""
    classic = Config()
    own = [
        FLAGS[field.name].serialize()
        for field in dataclasses.fields(Config)
        if field.name not in (*varied, "seed")
        and getattr(config, field.name) != getattr(classic, field.name)
    ]
    if not own:
        return f"All {'other ' if varied else ''}settings are those of the classic run."
    return f"Settings that are not those of the classic run: `{' '.join(own)}`."
