"""Flags of a run that can be stopped and resumed: what of them a run keeps, what may change."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags

from digits_jax import runs
from digits_jax.config import Config
from experiments.cli import flags
from experiments.cli.flags import FLAGS

# Not of Config, as results do not depend on them; kept with the run all the same.
KEPT = ("checkpoint_seconds", "tensorboard")


class Stored(NamedTuple):
    """What a run goes on with."""

    config: Config
    checkpoint_seconds: float
    tensorboard: bool
    flags: str


def define(values: absl_flags.FlagValues = FLAGS) -> None:
    """Defines the flags of how a run is saved, resumed and observed."""
    about: dict[str, Any] = {"flag_values": values, "module_name": "run"}
    help = "go on with the run in workdir, with its flags"
    absl_flags.DEFINE_bool("resume", False, help, **about)
    help = "seconds between checkpoints, at the end of an epoch; 0: never"
    absl_flags.DEFINE_float("checkpoint_seconds", 30.0, help, lower_bound=0.0, **about)
    help = "write event files for TensorBoard"
    absl_flags.DEFINE_bool("tensorboard", False, help, **about)
    help = "write a trace of the second epoch into workdir/profile"
    absl_flags.DEFINE_bool("profile", False, help, **about)


def stored_flags(parsed: absl_flags.FlagValues = FLAGS) -> str:
    """What flags.txt holds: the flags of Config, and those of `KEPT` that are not at default."""
    kept = [parsed[name] for name in KEPT]
    lines = [flag.serialize() for flag in kept if flag.value != flag.default]
    return flags.config_flags(parsed) + "".join(f"{line}\n" for line in lines)


def read(directory: Path) -> Stored:
    """The flags of the run in `directory`, with what the command line may change in them.

    Raises:
        ValueError: where there is no run, or a flag on the command line contradicts its flags.
        OSError: where they cannot be read.
    """
    path = directory / runs.FLAGS_FILE
    if not path.is_file():
        raise ValueError(f"{directory} holds no run to resume: it has no {runs.FLAGS_FILE}")
    try:
        parsed = _parse(path.read_text())
    except absl_flags.Error as error:
        raise ValueError(f"{path}: {error}") from None
    stored = flags.config(parsed)
    for field in dataclasses.fields(Config):
        theirs: Any = parsed[field.name].value
        ours: Any = FLAGS[field.name].value
        if not FLAGS[field.name].present or theirs == ours:
            continue
        here, there = FLAGS[field.name].serialize(), parsed[field.name].serialize()
        contradiction = f"{here} contradicts {there or f'{field.name} unset'} of the run"
        if field.name != "epochs" or ours < theirs:
            raise ValueError(f"{contradiction} in {directory}")
        if not runs.epochs_may_grow(stored):
            raise ValueError(
                f"{contradiction}: its learning rate depends on epochs, as --schedule="
                f"{stored.schedule} spans them all"
            )
        parsed["epochs"].value = ours
    for name in KEPT:
        if FLAGS[name].present:
            parsed[name].value = FLAGS[name].value
    return _stored(parsed)


def parse(text: str) -> Stored:
    """What `Stored.flags` says, as for a process that does not see the run's directory."""
    return _stored(_parse(text))


def _parse(text: str) -> absl_flags.FlagValues:
    parsed = absl_flags.FlagValues()  # type: ignore[no-untyped-call]
    flags.define_config(values=parsed)
    define(parsed)
    parsed(["", *text.splitlines()])
    return parsed


def _stored(parsed: absl_flags.FlagValues) -> Stored:
    return Stored(
        flags.config(parsed), parsed.checkpoint_seconds, parsed.tensorboard, stored_flags(parsed)
    )
