"""A sweep on record: its command, its settings, and what each setting comes to over the seeds."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from digits_jax.config import Config
from digits_jax.findings import Found, shown
from experiments import STARTED
from experiments.cli import flags, records
from experiments.cli.flags import FLAGS

HEADER = ("n", "test accuracy", "least", "greatest", "validation accuracy", "seconds a run")


def markdown(
    name: str,
    found: Found,
    config: Config,
    seeds: int,
    provenance: str,
    pictures: Iterable[str],
) -> str:
    """A title, the provenance, the settings, and a row for each of those that are varied.

    Args:
        name: of the record.
        found: what the runs say.
        config: what is not varied.
        seeds: how many, from that of `config` on.
        provenance: as `records.provenance` gives it.
        pictures: by the names that `records.write` takes.
    """
    last = config.seed + seeds - 1
    about = (
        "Accuracy after the last epoch, mean ± standard deviation over the seeds "
        f"{config.seed} to {last}; the time of a run is that of all over their number, without "
        f"compilation. {records.settings(config, found.varied)}"
    )

    def spread(entry: Mapping[str, Any], split: str) -> str:
        return records.accuracy(*(entry[f"{split}_accuracy_{name}"] for name in ("mean", "std")))

    lines = [
        [
            *(shown(entry[field]) for field in found.varied),
            entry["n"],
            spread(entry, "test"),
            *(records.accuracy(entry[f"test_accuracy_{extreme}"]) for extreme in ("min", "max")),
            spread(entry, "validation"),
            f"{entry['seconds']:.3g}",
        ]
        for entry in found.settings
    ]
    return (
        "\n\n".join(
            [
                f"# {name}: accuracy over seeds",
                provenance,
                about,
                *([f"Verdict: {found.sentence}."] if found.settings[1:] else []),
                records.table([*found.varied, *HEADER], lines),
                *(f"![{picture}]({name}-{picture}.png)" for picture in pictures),
            ]
        )
        + "\n"
    )


def write(name: str, found: Found, figures: Mapping[str, bytes]) -> Path:
    """Puts the summary of the sweep that the flags describe on record, and gives its file.

    Raises:
        OSError: where it cannot be written.
    """
    # What was resumed took longer than its last process.
    seconds = None if FLAGS.resume else time.perf_counter() - STARTED
    device = jax.devices()[0].device_kind
    where = records.provenance(f"{flags.command('sweep')} --record={name}", seconds, device)
    pictures = {file.removesuffix(".png"): png for file, png in figures.items()}
    text = markdown(name, found, flags.config(), FLAGS.seeds, where, pictures)
    return records.write(name, text, pictures)[0]
