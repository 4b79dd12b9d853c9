"""Pickled NumPy arrays, such as Nielsen's `mnist.pkl.gz`, read without executing anything.

A pickle is a program that may call any function. This reader knows four names, and calls functions
of its own for them: no code, no object and no memory but that of the bytes in the file.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from digits_jax.data.stored import Arrays, content, in_memory

SPLITS = ("train", "validation", "test")  # of a tuple of pairs, as in Nielsen's file


class _Type:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: Any, *_: Any):
        self.code, self.order = str(code), "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """Stands for `numpy.ndarray`."""

    def __setstate__(self, state: Any) -> None:
        _, shape, of_type, is_fortran, data = state
        dtype = np.dtype(of_type.code).newbyteorder(of_type.order.replace("|", "="))
        if dtype.kind not in "biuf":
            raise ValueError(f"an array of {dtype}: expected numbers")
        data = data.encode("latin-1") if isinstance(data, str) else data
        flat = np.frombuffer(data, dtype)
        self.array = flat.reshape(shape, order="F" if is_fortran else "C")


KNOWN: dict[str, Any] = {
    "_reconstruct": lambda *_: _Array(),
    "dtype": _Type,
    "ndarray": None,  # given to _reconstruct, and never called
    "encode": lambda text, _: text.encode("latin-1"),  # bytes, as Python 3 writes them for 2
}


class _Unpickler(pickle._Unpickler):
    # The one in Python: the one in C makes room for as many objects as a pickle says it has.
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in ("numpy", "_codecs") and name in KNOWN:
            return KNOWN[name]
        raise ValueError(
            f"the pickle asks for {module}.{name}, which could run code: only NumPy arrays are "
            "read; convert it by np.savez('mnist.npz', x_train=..., y_train=...)"
        )


def read_pickle(path: Path) -> Arrays:
    """The arrays of a pickle: a dictionary of them, or pairs of images and labels for training,
    validation and test (Nielsen's), or training and test."""
    found = _Unpickler(io.BytesIO(content(path)), encoding="latin-1").load()
    if isinstance(found, tuple | list) and len(found) in (2, 3):
        splits = SPLITS if len(found) == 3 else ("train", "test")
        found = {
            f"{split}/{kind}": array
            for split, pair in zip(splits, found, strict=True)
            for kind, array in zip(("images", "labels"), pair, strict=True)
        }
    if not isinstance(found, dict):
        raise ValueError("expected pairs of images and labels, or a dictionary of arrays")
    return {
        str(name): in_memory(value.array)
        for name, value in found.items()
        if isinstance(value, _Array)
    }
