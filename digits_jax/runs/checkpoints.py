"""Checkpoints: the TrainState of a run and its history, saved by Orbax after some of its epochs.

Orbax takes a third of a second and more to import, so it is imported where it is needed.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax.parallel.mesh import broadcast, local
from digits_jax.runs.history import Row
from digits_jax.runs.model_file import sha256
from digits_jax.training import TrainState

FORMAT = 1
KEPT = 3
# The items of a checkpoint, each a folder inside that of its epoch.
STATE, METADATA = "state", "metadata"


class Checkpoint(NamedTuple):
    """A run after the epoch of its last row. All of its rows: metrics.csv is made anew of them."""

    state: TrainState
    rows: tuple[Row, ...]


class Damaged(ValueError):
    """A checkpoint is incomplete, or not what was saved."""


@contextlib.contextmanager
def saving(
    directory: Path, identity: dict[str, Any], epoch: int
) -> Iterator[Callable[[Checkpoint], None]]:
    """Gives a function that saves a checkpoint in the background; on leaving, waits for the last.

    Args:
        directory: made by the first save; holds a folder for each of the last `KEPT` epochs saved.
        identity: what a run has to have in common with this one to restore its checkpoints; JSON.
        epoch: the last epoch before the first save. Checkpoints of later epochs are removed:
            `restore` found them damaged.

    Raises:
        OSError: where a checkpoint cannot be written, perhaps only at the next save or on leaving.
            Those before it stay.
    """
    for later in _folders(directory):
        if int(later.name) > epoch:
            shutil.rmtree(later)
    manager: Any = None

    def save(checkpoint: Checkpoint) -> None:
        nonlocal manager
        # A copy: the next epoch takes over the memory of this state.
        leaves = _host_leaves(checkpoint.state)
        body = {
            "format": FORMAT,
            "identity": identity,
            "rows": checkpoint.rows,
            "state_sha256": sha256(leaves),
        }
        with _one_os_error(directory):
            import orbax.checkpoint as ocp

            if manager is None:
                options = ocp.CheckpointManagerOptions(
                    preservation_policy=ocp.checkpoint_managers.LatestN(KEPT),
                    cleanup_tmp_directories=True,
                    multiprocessing_options=_this_process_alone(),
                    create=False,
                )
                directory.mkdir(exist_ok=True)
                manager = ocp.CheckpointManager(directory.resolve(), options=options)
            items = {
                STATE: ocp.args.StandardSave(leaves),
                METADATA: ocp.args.JsonSave({"body": body, "sha256": _sha256_of_json(body)}),
            }
            manager.save(checkpoint.rows[-1].epoch, args=ocp.args.Composite(**items))

    try:
        yield save
    finally:
        if manager is not None:
            with _one_os_error(directory):
                manager.close()


def restore(
    directory: Path, identity: dict[str, Any], template: TrainState
) -> tuple[Checkpoint | None, list[str]]:
    """Restores the last checkpoint in `directory` that is complete and as it was saved.

    Args:
        directory: where `saving` saved; it need not exist.
        identity: as `saving` had it.
        template: a state of the shapes to restore, as `jax.eval_shape` gives it.

    Returns:
        The checkpoint, its state on the host, or `None` where none was ever completed; and a line
        for each later one that is damaged.

    Raises:
        ValueError: where all are damaged, or the last is of another run or format.
    """
    if not _folders(directory):
        return None, []
    import orbax.checkpoint as ocp

    damaged: list[str] = []
    for epoch in sorted(ocp.path.step.checkpoint_steps(directory.resolve()), reverse=True):
        path = directory / str(epoch)
        try:
            return _restore(path, identity, template), damaged
        except Damaged as error:
            damaged.append(f"{path} is damaged ({error}): using the checkpoint before it")
    if damaged:
        raise ValueError(
            f"every checkpoint in {directory} is damaged: without that folder, --resume starts "
            "again from the first epoch"
        )
    return None, []


def _restore(path: Path, identity: dict[str, Any], template: TrainState) -> Checkpoint:
    import orbax.checkpoint as ocp

    with _damage("its metadata cannot be read"):
        alone = _this_process_alone()
        handler = ocp.JsonCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            metadata = checkpointer.restore((path / METADATA).resolve())
        body, digest = metadata["body"], metadata["sha256"]
    if digest != _sha256_of_json(body):
        raise Damaged("the SHA-256 of its metadata is not the one recorded")
    if body["format"] != FORMAT:
        raise ValueError(f"{path}: format {body['format']}, this version reads {FORMAT}")
    ours = json.loads(json.dumps(identity))
    for name in sorted(ours.keys() | body["identity"].keys()):
        saved, here = body["identity"].get(name), ours.get(name)
        if saved != here:
            raise ValueError(
                f"{path} is of another run: {name} is {saved} there, and {here} in this run"
            )

    shapes = jax.eval_shape(_key_as_data, template)
    names = _names(shapes)
    blank = [np.zeros(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(shapes)]
    with (
        _damage("its state cannot be read"),
        ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer,
    ):
        leaves = checkpointer.restore(
            (path / STATE).resolve(), dict(zip(names, blank, strict=True))
        )
    if sha256(leaves) != body["state_sha256"]:
        raise Damaged("the SHA-256 of its state is not the one recorded")
    return _checkpoint(shapes, [leaves[name] for name in names], body["rows"])


def share(checkpoint: Checkpoint | None, template: TrainState) -> Checkpoint | None:
    """What process 0 has restored, on every process of a job; no other has to see its files.

    Args:
        checkpoint: what this process restored; of any but process 0 it is ignored.
        template: as `restore` has it.
    """
    rows = json.dumps(checkpoint.rows if checkpoint else None).encode()
    found = json.loads(broadcast(rows))
    if found is None:
        return None
    shapes = jax.eval_shape(_key_as_data, template)
    own = _host_leaves(checkpoint.state).values() if checkpoint else ()
    content, at = broadcast(b"".join(leaf.tobytes() for leaf in own)), 0
    leaves = []
    for leaf in jax.tree.leaves(shapes):
        values = np.frombuffer(content, leaf.dtype, leaf.size, at)
        leaves.append(values.reshape(leaf.shape))
        at += values.nbytes
    return _checkpoint(shapes, leaves, found)


def _checkpoint(shapes: TrainState, leaves: list[np.ndarray], rows: list[Any]) -> Checkpoint:
    state: TrainState = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    state = state._replace(key=jax.random.wrap_key_data(state.key))
    return Checkpoint(state, tuple(Row(*row) for row in rows))


def _this_process_alone() -> Any:
    """Orbax would wait for the other processes of a job, and these save and restore nothing."""
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    here = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})


def _key_as_data(state: TrainState) -> TrainState:
    return state._replace(key=jax.random.key_data(state.key))


def _names(state: TrainState) -> list[str]:
    """A name for each leaf: params.0.weights, opt_state.0.mu.0.weights, step and so on."""
    paths = [path for path, _ in jax.tree.leaves_with_path(state)]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]


def _host_leaves(state: TrainState) -> dict[str, np.ndarray]:
    state = _key_as_data(local(state))
    leaves = jax.tree.leaves(jax.device_get(state))
    return dict(zip(_names(state), map(np.array, leaves), strict=True))


def _folders(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if path.name.isdecimal()]


def _sha256_of_json(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Damage shows as whatever error the reader of the damaged bytes falls into."""
    try:
        yield
    except Exception as error:
        raise Damaged(what) from error


@contextlib.contextmanager
def _one_os_error(directory: Path) -> Iterator[None]:
    """A full disk shows in Orbax as OSError, or as a long ValueError or RuntimeError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error)
        if code := re.search(r"os_error_code='(\d+)'", reason):
            reason = os.strerror(int(code[1]))
        raise OSError(f"{directory}: cannot save a checkpoint: {reason}") from error
