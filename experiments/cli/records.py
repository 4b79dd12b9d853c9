"""Records: what scripts measured, as Markdown and pictures, with the command that makes it again.

A script that measures writes its tables into its folder; with `--record` also into
`experiments/records`, under the script's name.
"""

import contextlib
import datetime
import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from absl import flags as absl_flags

from digits_jax.config import Config
from digits_jax.runs import flags_file
from digits_jax.runs.files import write_atomically
from experiments.cli import processor

FOLDER = Path(__file__).parents[1] / "records"
PACKAGES = ("jax", "jaxlib", "numpy")
# Of the last minute, as the script starts: what else the machine is doing.
LOAD = psutil.getloadavg()[0]


def define() -> None:
    """Defines the flag that puts what a script measures on record."""
    about = "also write the tables into experiments/records"
    absl_flags.DEFINE_bool("record", False, about, module_name="run")


def define_named() -> None:
    """Defines the flag that puts it on record under a name of its own."""
    text = "also write the summary into experiments/records, as NAME.md"
    absl_flags.DEFINE_string("record", None, text, module_name="run")
    absl_flags.register_validator(  # type: ignore[no-untyped-call]
        "record",
        lambda name: name is None or re.fullmatch(r"[\w.-]+", name),
        "expected a name, as in classic",
    )


def settings(config: Config, varied: Sequence[str] = ()) -> str:
    """What runs have in common and the classic run has not, as its flags."""
    usual = flags_file.of_config(Config())
    own = [
        line
        for line in flags_file.of_config(config)
        if line not in usual
        and not line.startswith(tuple(f"--{name}=" for name in ("seed", *varied)))
    ]
    if not own:
        return f"All {'other ' if varied else ''}settings are those of the classic run."
    return f"Settings that are not those of the classic run: `{' '.join(own)}`."


def provenance(
    command: str, seconds: float | None, device: str, packages: Sequence[str] = PACKAGES
) -> str:
    """When, where, with what, and by which command; `packages` are those that are installed."""
    took = "" if seconds is None else f"{seconds:.0f} s in all, "
    threads = os.environ.get("OPENBLAS_NUM_THREADS")
    blas = f" (OPENBLAS_NUM_THREADS={threads})" if threads else ""
    versions = ", ".join(f"{name} {version}" for name, version in _versions(packages))
    return (
        f"`{command}` on {processor.name()}, {os.cpu_count()} cores, JAX on {device}; "
        f"Python {platform.python_version()}, {versions}{blas}; "
        f"{took}load average at the start {LOAD:.1f}, {datetime.date.today()}."
    )


def _versions(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def write(name: str, markdown: str, pictures: Mapping[str, bytes]) -> list[Path]:
    """Puts a record into `experiments/records`: NAME.md, and PNG files whose names NAME begins.

    Args:
        name: the record, as a rule that of the script.
        markdown: a title, the provenance and the tables; it links pictures as NAME-PICTURE.png.
        pictures: PNG files by picture.

    Returns:
        The files that were written.

    Raises:
        OSError: where one cannot be written.
    """
    FOLDER.mkdir(exist_ok=True)
    files = {f"{name}.md": markdown.encode()} | {
        f"{name}-{picture}.png": png for picture, png in pictures.items()
    }
    for file, content in files.items():
        write_atomically(FOLDER / file, content)
    return [FOLDER / file for file in files]


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def accuracy(mean: float, deviation: float = math.nan) -> str:
    """A share in per cent, ± its standard deviation where there is one; none where it is none."""
    if math.isnan(mean):
        return "none"
    spread = "" if math.isnan(deviation) else f" ± {100 * deviation:.2f}"
    return f"{100 * mean:.2f}{spread} %"


def duration(seconds: float) -> str:
    """A time to three digits with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
