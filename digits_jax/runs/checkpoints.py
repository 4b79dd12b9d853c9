"""Checkpoints: the TrainState of a run and its history, a file after some of its epochs."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from digits_jax.parallel.mesh import broadcast, local
from digits_jax.runs.files import write_atomically
from digits_jax.runs.history import Row
from digits_jax.runs.identity import check_same
from digits_jax.runs.tensor_file import Tensors, decode, encode, fill, named
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
    what `identity.of_run` gives.

    Raises:
        OSError: it cannot be written; those before it stay.
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
        The checkpoint, its state on the host, or `None` where none was ever completed; and lines
        for the user: each later one that is damaged, and what may change the last bits.

    Raises:
        ValueError: all are damaged, or the last is of another run or format.
    """
    notes: list[str] = []
    paths = _paths(directory)
    for epoch in sorted(paths, reverse=True):
        path = paths[epoch]
        try:
            tensors, body = decode(path.read_bytes())
            version, saved = body["format"], dict(body["identity"])
        except Exception as error:  # whatever a reader of damaged bytes runs into
            notes.append(_damaged(path, error))
            continue
        try:
            if version != FORMAT:
                raise ValueError(f"format {version!r}, this version reads {FORMAT}")
            notes += check_same(saved, identity)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        try:
            return _checkpoint(tensors, body, template), notes
        except Exception as error:
            notes.append(_damaged(path, error))
    if paths:
        raise ValueError(
            f"no checkpoint in {directory} can be read: without that folder, --resume starts again "
            "from the first epoch"
        )
    return None, []


def _damaged(path: Path, error: Exception) -> str:
    return f"{path} is damaged ({' '.join(str(error).split())}): using the checkpoint before it"


def share(checkpoint: Checkpoint | None, template: TrainState) -> Checkpoint | None:
    """What process 0 has restored, on every process of a job; no other has to see its files."""
    content = broadcast(_encode(checkpoint, {}) if checkpoint else b"")
    return _checkpoint(*decode(content), template) if content else None


def _paths(directory: Path) -> dict[int, Path]:
    paths = directory.iterdir() if directory.is_dir() else ()
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def _encode(checkpoint: Checkpoint, identity: dict[str, Any]) -> bytes:
    tensors = jax.device_get(named(local(checkpoint.state)))
    return encode(tensors, {"format": FORMAT, "identity": identity, "rows": checkpoint.rows})


def _checkpoint(tensors: Tensors, body: dict[str, Any], template: TrainState) -> Checkpoint:
    rows = tuple(Row(*row) for row in body["rows"])
    if not rows or [row.epoch for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError("its rows are not those of the epochs from 1 on")
    if not all(isinstance(number, int | float | None) for row in rows for number in row):
        raise ValueError("its rows hold something else than numbers")
    return Checkpoint(fill(template, tensors), rows)
