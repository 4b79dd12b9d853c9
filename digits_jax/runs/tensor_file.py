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
# What stands before the digest: JSON within JSON, where no name or path can look the same.
BEFORE_DIGEST, DIGITS = rb"\"sha256\": \"", 64


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by the names of their paths; of random keys, the numbers in them."""
    return {
        _name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def fill(template: Tree, tensors: Tensors) -> Tree:
    """The pytree that `named` took apart, of the structure, shapes and types of `template`.

    Raises:
        ValueError: in one line, where a name, a shape or a type differs.
    """
    expected = {name: _outline(leaf) for name, leaf in jax.eval_shape(named, template).items()}
    found = {name: _outline(tensor) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        there, here = found.get(name, "absent"), expected.get(name, "absent")
        if there != here:
            raise ValueError(f"{name} is {there}, expected {here}")

    def leaf(path: Any, like: Any) -> Any:
        tensor = tensors[_name(path)]
        return jax.random.wrap_key_data(jnp.asarray(tensor)) if _is_key(like) else tensor

    tree: Tree = jax.tree.map_with_path(leaf, template)
    return tree


def _outline(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)}"


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def encode(tensors: Mapping[str, Any], metadata: dict[str, Any]) -> bytes:
    """A safetensors file: the same tensors and metadata give the same bytes.

    The metadata also hold `sha256`: that of the file with 64 zeros in the place of the digest.
    """
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    text = json.dumps(metadata | {"sha256": "0" * DIGITS}, sort_keys=True)
    content = safetensors.numpy.save(contiguous, {METADATA_KEY: text})
    start = content.index(BEFORE_DIGEST) + len(BEFORE_DIGEST)
    return content[:start] + _digest(content, start) + content[start + DIGITS :]


def decode(content: bytes) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the metadata that `encode` was given.

    Files of the first version, whose digest leaves out the header, are read as well.

    Raises:
        ValueError: in one line, where `content` is damaged, or was not made by `encode`.
    """
    try:
        tensors = {
            name: np.frombuffer(view["data"], _dtype(view["dtype"])).reshape(view["shape"])
            for name, view in safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        }
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = header.get("__metadata__", {}).get(METADATA_KEY)
        metadata = json.loads(text or "{}")
    except (safetensors.SafetensorError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"damaged, or not a safetensors file: {error}") from None
    if not text or not isinstance(metadata, dict):
        raise ValueError("a safetensors file, but not one of digits_jax")
    digest = metadata.pop("sha256", None)
    start = content.find(BEFORE_DIGEST) + len(BEFORE_DIGEST)
    known = {_digest(content, start).decode(), sha256(tensors), sha256(tensors, **metadata)}
    if digest not in known and (digest or "format" in metadata):
        raise ValueError("damaged, or of a later version: its SHA-256 is not the one recorded")
    return tensors, metadata


def _digest(content: bytes, start: int) -> bytes:
    """The SHA-256 of a file whose own digest begins at `start`."""
    parts = content[:start], b"0" * DIGITS, content[start + DIGITS :]
    return hashlib.sha256(b"".join(parts)).hexdigest().encode()


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
