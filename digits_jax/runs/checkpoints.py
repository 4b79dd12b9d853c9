"""Checkpoints: the TrainState of a run and its history, a file after some of its epochs."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from digits_jax.config import Config
from digits_jax.parallel.mesh import broadcast, local
from digits_jax.runs.files import write_atomically
from digits_jax.runs.history import Row
from digits_jax.runs.tensor_file import Tensors, decode, encode, fill, named, sha256
from digits_jax.training import TrainState

FORMAT = "checkpoint 1"
KEPT = 3


class Checkpoint(NamedTuple):
    """A run after the epoch of its last row. All of its rows: metrics.csv is made anew of them."""

    state: TrainState
    rows: tuple[Row, ...]


def save(directory: Path, identity: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Saves a checkpoint as EPOCH.safetensors and removes all but the last `KEPT`.

    Checkpoints of later epochs are removed as well: `restore` found them damaged. `identity` is
    what a run has to have in common with this one to restore it, as JSON takes it.

    Raises:
        OSError: where it cannot be written; those before it stay.
    """
    directory.mkdir(exist_ok=True)
    epoch = checkpoint.rows[-1].epoch
    write_atomically(directory / f"{epoch}.safetensors", _encode(checkpoint, identity))
    paths = _paths(directory)
    kept = sorted(saved for saved in paths if saved <= epoch)[-KEPT:]
    for other in paths.keys() - set(kept):
        paths[other].unlink()


def restore(
    directory: Path, identity: dict[str, Any], template: TrainState
) -> tuple[Checkpoint | None, list[str]]:
    """Restores the last checkpoint in `directory` that is as it was saved.

    Args:
        directory: where `save` saved; it need not exist.
        identity: as `save` had it. Settings that the saving version lacked are at default.
        template: a state of the shapes to restore, as `jax.eval_shape` gives it.

    Returns:
        The checkpoint, its state on the host, or `None` where none was ever completed; and a line
        for each later one that is damaged.

    Raises:
        ValueError: where all are damaged, or the last is of another run or format.
    """
    damaged: list[str] = []
    for _, path in sorted(_paths(directory).items(), reverse=True):
        try:
            tensors, body = _decode(path.read_bytes())
        except Exception as error:  # whatever a reader of damaged bytes falls into
            damaged.append(f"{path} is damaged ({error}): using the checkpoint before it")
            continue
        try:
            _check_same_run(body, identity)
            return _checkpoint(tensors, body, template), damaged
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    if damaged:
        raise ValueError(
            f"no checkpoint in {directory} can be read: without that folder, --resume starts again "
            "from the first epoch"
        )
    return None, []


def share(checkpoint: Checkpoint | None, template: TrainState) -> Checkpoint | None:
    """What process 0 has restored, on every process of a job; no other has to see its files."""
    content = broadcast(_encode(checkpoint, {}) if checkpoint else b"")
    return _checkpoint(*_decode(content), template) if content else None


def _paths(directory: Path) -> dict[int, Path]:
    paths = directory.iterdir() if directory.is_dir() else ()
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def _encode(checkpoint: Checkpoint, identity: dict[str, Any]) -> bytes:
    tensors = jax.device_get(named(local(checkpoint.state)))
    body = {"format": FORMAT, "identity": identity, "rows": checkpoint.rows}
    return encode(tensors, body | {"sha256": sha256(tensors, **body)})


def _decode(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    tensors, body = decode(content)
    if body.pop("sha256") != sha256(tensors, **body):
        raise ValueError("its SHA-256 is not the one recorded")
    return tensors, body


def _checkpoint(tensors: Tensors, body: dict[str, Any], template: TrainState) -> Checkpoint:
    return Checkpoint(fill(template, tensors), tuple(Row(*row) for row in body["rows"]))


def _check_same_run(body: dict[str, Any], identity: dict[str, Any]) -> None:
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']}, this version reads {FORMAT}")
    ours, defaults = json.loads(json.dumps((identity, dataclasses.asdict(Config()))))
    saved = defaults | body["identity"]
    for name in saved.keys() - defaults.keys() - ours.keys():
        raise ValueError(f"this version knows no setting {name}, which is {saved[name]} there")
    for name, here in ours.items():
        if saved.get(name, here) != here:  # what an earlier version did not save is not known
            raise ValueError(f"of another run: {name} is {saved[name]} there, and {here} here")
