"""Tensors and JSON metadata as one safetensors file, which needs no pickle to be read.

A tensor is named by its path in a pytree: params.0.weights, opt_state.0.mu.0.weights, step.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

Tree = TypeVar("Tree")
Tensors = dict[str, np.ndarray]

# One key, holding JSON: safetensors writes several keys in an order that changes with each call.
METADATA_KEY = "digits_jax"


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by the names of their paths."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def fill(template: Tree, tensors: Tensors) -> Tree:
    """The pytree of which `tensors` are the leaves, by their names.

    Raises:
        ValueError: in one line, where names or shapes are not those of `template`.
    """
    expected = {name: tuple(leaf.shape) for name, leaf in named(template).items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            shape, other = found.get(name, "absent"), expected.get(name, "absent")
            raise ValueError(f"{name} is {shape}, and {other} in the network of its settings")
    tree: Tree = jax.tree.unflatten(jax.tree.structure(template), map(tensors.get, expected))
    return tree


def encode(tensors: Mapping[str, Any], metadata: dict[str, Any]) -> bytes:
    """A safetensors file: the same tensors and metadata give the same bytes."""
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    return safetensors.numpy.save(contiguous, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})


def decode(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the metadata that `encode` was given.

    Raises:
        ValueError: in one line, where `content` is incomplete, or was not made by `encode`.
    """
    try:
        tensors = {
            name: np.frombuffer(view["data"], _dtype(view["dtype"])).reshape(view["shape"])
            for name, view in safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        }
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"damaged, or not a safetensors file: {error}") from None
    if METADATA_KEY not in header.get("__metadata__", {}):
        raise ValueError("a safetensors file, but not one of digits_jax")
    return tensors, json.loads(header["__metadata__"][METADATA_KEY])


def _dtype(code: str) -> np.dtype:
    """The type that safetensors calls F32, U8, BF16 and so on; NumPy's own reader has no BF16."""
    others = {"BOOL": np.dtype(bool), "BF16": jnp.dtype(jnp.bfloat16)}
    return others.get(code) or np.dtype(f"{code[0].lower()}{int(code[1:]) // 8}")


def sha256(tensors: Mapping[str, Any], **metadata: Any) -> str:
    """The hash of every tensor's name, type, shape and bytes, in order of names; of metadata."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    if metadata:
        digest.update(json.dumps(metadata, sort_keys=True).encode())
    return digest.hexdigest()
