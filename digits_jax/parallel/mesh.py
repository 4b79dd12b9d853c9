"""The devices of all processes as one mesh, and arrays that lie on it or go from one to another."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, Sharding

Tree = TypeVar("Tree")


def broadcast(content: bytes) -> bytes:
    """The bytes that process 0 gives, sent from device to device. Every process has to call it."""
    if jax.process_count() == 1:
        return content
    from jax.experimental import multihost_utils

    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    own = np.frombuffer(content if jax.process_index() == 0 else bytes(length), np.uint8)
    received: bytes = np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes()
    return received


def largest(number: int) -> int:
    """The largest of the numbers of all processes. Every process has to call it."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def smallest(number: int) -> int:
    """The smallest of the numbers of all processes. Every process has to call it."""
    return -largest(-number)


def gather(tree: Tree) -> Tree:
    """Arrays that lie in parts on a mesh, whole and on every host. Every process has to call it."""
    if jax.process_count() == 1:
        whole: Tree = jax.device_get(tree)
        return whole
    from jax.experimental import multihost_utils

    whole = multihost_utils.process_allgather(tree, tiled=True)
    return whole


def make_mesh(
    axis: str, count: int | None = None, here: bool = False, devices: Sequence[Any] | None = None
) -> Mesh:
    """The first `count` devices in one row, or all: of all processes, of this one, or of a list."""
    if devices is None:
        devices = jax.local_devices() if here else jax.devices()
    devices = devices[:count]
    return jax.make_mesh((len(devices),), (axis,), axis_types=(AxisType.Auto,), devices=devices)


def put(tree: Tree, sharding: Sharding | None) -> Tree:
    """Sends arrays that every process has to the devices of a mesh; each sends its own devices'.

    `None` sends them to the first device.

    No array shares memory with another or with `tree`: a program may write over it.
    """
    if sharding is None:
        return jax.device_put(tree, may_alias=False)  # type: ignore[no-any-return]

    def send(array: Any) -> Any:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(send(jax.random.key_data(array)))
        array = np.asarray(array)
        parts = [
            jax.device_put(array[index], device, may_alias=False)
            for device, index in sharding.addressable_devices_indices_map(array.shape).items()
        ]
        return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)

    sent: Tree = jax.tree.map(send, tree)
    return sent


def shapes(tree: Any, sharding: Sharding | None) -> Any:
    """Shapes and types of arrays, and where they lie: what a program is compiled for."""
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding),  # type: ignore[no-untyped-call]
        tree,
    )


def local(tree: Tree) -> Tree:
    """This process's copy of arrays of which every device has a copy."""
    copy: Tree = jax.tree.map(
        lambda array: array.addressable_data(0) if isinstance(array, jax.Array) else array, tree
    )
    return copy
