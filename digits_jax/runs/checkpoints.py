"""Checkpoints: the TrainState of a run and its history, a file after some of its epochs."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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

    Checkpoints of later epochs are removed as well: `restore` found them damaged.

    Args:
        directory: where; made, if need be.
        identity: what a run has to have in common with this one to restore it; JSON.
        checkpoint: the state of the run, on its devices or on the host.

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
        identity: as `save` had it. Settings that a checkpoint lacks, as the version that saved it
            did not have them, are at default there.
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
        if body["format"] != FORMAT:
            raise ValueError(f"{path}: format {body['format']}, this version reads {FORMAT}")
        _check_same_run(path, body["identity"], identity)
        return _checkpoint(tensors, body, template), damaged
    if damaged:
        raise ValueError(
            f"every checkpoint in {directory} is damaged: without that folder, --resume starts "
            "again from the first epoch"
        )
    return None, []


def share(checkpoint: Checkpoint | None, template: TrainState) -> Checkpoint | None:
    """What process 0 has restored, on every process of a job; no other has to see its files.

    Args:
        checkpoint: what this process restored; of any but process 0 it is ignored.
        template: as `restore` has it.
    """
    content = broadcast(_encode(checkpoint, {}) if checkpoint else b"")
    return _checkpoint(*_decode(content), template) if content else None


def _paths(directory: Path) -> dict[int, Path]:
    paths = directory.iterdir() if directory.is_dir() else ()
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def _encode(checkpoint: Checkpoint, identity: dict[str, Any]) -> bytes:
    tensors = jax.device_get(named(jax.tree.map(_data, local(checkpoint.state))))
    body = {"format": FORMAT, "identity": identity, "rows": checkpoint.rows}
    return encode(tensors, body | {"sha256": sha256(tensors, **body)})


def _decode(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    tensors, body = decode(content)
    if body.pop("sha256") != sha256(tensors, **body):
        raise ValueError("its SHA-256 is not the one recorded")
    return tensors, body


def _checkpoint(tensors: Tensors, body: dict[str, Any], template: TrainState) -> Checkpoint:
    data = fill(jax.eval_shape(functools.partial(jax.tree.map, _data), template), tensors)
    state = jax.tree.map(
        lambda like, leaf: jax.random.wrap_key_data(leaf) if _is_key(like) else leaf, template, data
    )
    return Checkpoint(state, tuple(Row(*row) for row in body["rows"]))


def _data(leaf: Any) -> Any:
    """A random key as the numbers that it is made of."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _check_same_run(path: Path, saved: dict[str, Any], identity: dict[str, Any]) -> None:
    ours = json.loads(json.dumps(identity))
    defaults = json.loads(json.dumps(dataclasses.asdict(Config())))
    for name in sorted(saved.keys() - defaults.keys() - ours.keys()):
        raise ValueError(
            f"{path}: this version knows no setting {name}, which is {saved[name]} there"
        )
    for name, here in ours.items():
        there = saved.get(name, defaults.get(name))
        if there != here:
            raise ValueError(
                f"{path} is of another run: {name} is {there} there, and {here} in this run"
            )
