"""The formats of data files: each is told by the first bytes, and read by one function.

A new format is one function from a path to its arrays by name, and one entry in `FORMATS`.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from digits_jax.data import pickles, tables
from digits_jax.data.stored import (
    CLASS_NAMES,
    DEFLATE_MAX_RATIO,
    Arrays,
    StoredArray,
    capacity,
    check_expansion,
    in_memory,
    opened,
    reading,
    streamed,
)

# The third byte of an IDX file (LeCun, Cortes and Burges, "The MNIST database"), big-endian.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> Arrays:
    """IDX, the format of MNIST's own files: a magic number, sizes as big-endian 32-bit counts,
    then the elements in C order; of QMNIST's label files, the first column is the class."""
    with opened(path) as stream:
        _, element_type, dimensions = struct.unpack(">HBB", stream.read(4))
        if element_type not in IDX_TYPES:
            raise ValueError(f"element type 0x{element_type:02x} is none of IDX")
        header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ValueError("truncated: the IDX header ends too early")
    shape, dtype = struct.unpack(f">{dimensions}I", header), np.dtype(IDX_TYPES[element_type])
    start = 4 + len(header)
    array = streamed(path, lambda: opened(path), start, shape, dtype, capacity(path))
    if dimensions == 2 and element_type == 0x0C:
        return {"": StoredArray(shape[:1], dtype, lambda rows: array.read(rows)[:, 0])}
    return {"": array}


def read_npy(path: Path) -> Arrays:
    """One array of NumPy; mapped into memory, it cannot promise more than the file holds."""
    return {"": in_memory(np.load(path, mmap_mode="r", allow_pickle=False))}


def read_npz(path: Path) -> Arrays:
    """The arrays of an .npz file; those of Python objects, which can hold code, are left out."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as stream:
                major, _ = np.lib.format.read_magic(stream)
                header = getattr(np.lib.format, f"read_array_header_{major}_0")
                shape, is_fortran, dtype = header(stream)
                start = stream.tell()
            if dtype.kind not in "biufSU" or not shape:
                continue

            def open_member(name: str = info.filename) -> Any:
                return zipfile.ZipFile(path).open(name)

            most = min(info.file_size, path.stat().st_size * DEFLATE_MAX_RATIO)
            array = streamed(path, open_member, start, shape, dtype, most)
            if is_fortran and len(shape) > 1:
                check_expansion(most, path)
                turned = streamed(path, open_member, start, shape[::-1], dtype, most)
                array = in_memory(turned.whole().T)
            arrays[info.filename.removesuffix(".npy")] = array
    return arrays


def read_mat(path: Path) -> Arrays:
    """The arrays of a MATLAB file up to version 7.2, those in structures by their paths.

    In SVHN's files (colour images along the last axis) the class of the digit 0 is 10.
    """
    import scipy.io

    _check_mat(path)
    arrays: dict[str, np.ndarray] = {}

    def collect(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(f"{name}/{key}", inner)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biufSU" and value.ndim:
            arrays[name] = value

    for key, value in scipy.io.loadmat(path, simplify_cells=True).items():
        if not key.startswith("__"):
            collect(key, value)
    codes = arrays.pop("dataset/mapping", None)  # of EMNIST: class, code of its character
    if codes is not None and codes.ndim == 2:
        arrays[CLASS_NAMES] = np.array([chr(code) for code in codes[:, 1]])
    x, y = arrays.get("X"), arrays.get("y")
    if x is not None and y is not None and x.ndim == 4 and y.min() == 1 and y.max() == 10:
        arrays["y"] = y % 10
    return {name: in_memory(array) for name, array in arrays.items()}


def _check_mat(path: Path) -> None:
    """Inflates the elements of a file once, to see that they are no more than memory can take."""
    total, data = 0, path.read_bytes()
    at = 128
    order = "little" if data[126:128] == b"IM" else "big"
    while at + 8 <= len(data):
        kind, size = (int.from_bytes(data[i : i + 4], order) for i in (at, at + 4))  # type: ignore[arg-type]
        if kind == 15:  # miCOMPRESSED
            inflating, rest = zlib.decompressobj(), data[at + 8 : at + 8 + size]
            while rest:
                total += len(inflating.decompress(rest, 1 << 20))
                rest = inflating.unconsumed_tail
                check_expansion(total, path)
        at += 8 + size


def _unreadable(advice: str) -> Callable[[Path], Arrays]:
    def refuse(path: Path) -> Arrays:
        raise ValueError(advice)

    return refuse


class Format(NamedTuple):
    """A format: what its files begin with, as a regular expression, and the function that reads
    one into arrays by name; the name is empty where a file holds but one."""

    name: str
    begins: bytes
    read: Callable[[Path], Arrays]


FORMATS = (
    Format("IDX", rb"\0\0.[\x01-\x04]", read_idx),
    Format("NumPy array", rb"\x93NUMPY", read_npy),
    Format("NumPy archive", rb"PK\x03\x04", read_npz),
    Format("MATLAB file", rb"MATLAB 5\.0 MAT-file", read_mat),
    Format(
        "MATLAB 7.3 file or HDF5",
        rb"MATLAB 7\.3|\x89HDF",
        _unreadable("HDF5 is not read: save it by np.savez, or in MATLAB by save('-v7')"),
    ),
    Format("Parquet", rb"PAR1", tables.read_parquet),
    Format("pickle", rb"\x80[\x02-\x05]|\(+[(ld]?[pc]", pickles.read_pickle),
    # Sixteen fields and more, in commas, semicolons, tabs; or numbers in spaces.
    Format(
        "CSV",
        rb'(?:\xef\xbb\xbf)?(?:(?:"?[\w.+-]*"?[,;\t]){16}| *(?:[-+.\de]+ +){16})',
        tables.read_csv,
    ),
)


def format_of(path: Path) -> Format | None:
    """The format of a file by its first bytes, of what is in it where it is gzip data."""
    with reading(path), opened(path) as stream:
        first = stream.read(1024)
    return next((form for form in FORMATS if re.match(form.begins, first, re.DOTALL)), None)


def read_file(path: Path) -> Arrays:
    """The arrays of a file by name.

    Raises:
        ValueError: in one line, where it is of no format that is known, or damaged.
        OSError: where it cannot be read.
    """
    found = format_of(path)
    if not found:
        known = ", ".join(form.name for form in FORMATS)
        raise ValueError(f"{path}: not a data file that is known here: {known}")
    with reading(path, found.name):
        return found.read(path)
