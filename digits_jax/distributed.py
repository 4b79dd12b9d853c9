"""The devices of all processes as one mesh, and arrays that lie on it."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, Sharding

Tree = TypeVar("Tree")


def make_mesh(axis: str, count: int | None = None) -> Mesh:
    """The first `count` devices in one row, or all devices of all processes."""
    devices = jax.devices()[:count]
    return jax.make_mesh((len(devices),), (axis,), axis_types=(AxisType.Auto,), devices=devices)


def put(tree: Tree, sharding: Sharding) -> Tree:
    """Sends arrays that every process has to the devices of a mesh; each sends its own devices'.

    No array shares memory with another or with `tree`: a program may write over it.
    """

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


def local(tree: Tree) -> Tree:
    """This process's copy of arrays of which every device has a copy."""
    copy: Tree = jax.tree.map(
        lambda array: array.addressable_data(0) if isinstance(array, jax.Array) else array, tree
    )
    return copy
