"""The IDX format of the MNIST files, strictly checked.

A file is a magic number (two zero bytes, the element type, the number of dimensions), the sizes
as big-endian 32-bit counts, then the elements in C order (Y. LeCun, C. Cortes and C. J. C. Burges,
"The MNIST database of handwritten digits").
"""

import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from digits_jax.data.dataset import Dataset, Source

UNSIGNED_BYTE = 0x08
# Deflate cannot expand a byte to more than 1032 (RFC 1951: 258 bytes from two bits at best).
DEFLATE_MAX_RATIO = 1032
GZIP = 16 + zlib.MAX_WBITS  # to zlib: deflate data in a gzip header and trailer
CLASS_NAMES_FILE = "labels.txt"

# Gives the next bytes, at most so many; fewer at the end.
Read = Callable[[int], bytes]
ReadArray = Callable[[Path, int], np.ndarray]


def read(path: str | os.PathLike[str], ndim: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, gzip-compressed where its name ends in `.gz`.

    Memory grows with the bytes that are there, never with what the header claims.

    Args:
        path: the file.
        ndim: the number of dimensions it must have: 3 for images, 1 for labels.

    Returns:
        A uint8 array of `ndim` dimensions.

    Raises:
        ValueError: in one line, where the file is truncated, too long, not gzip, of another element
            type or number of dimensions.
        OSError: where the file cannot be opened.
    """
    return _open(Path(path), ndim, _parse)


def read_shape(path: str | os.PathLike[str], ndim: int) -> np.ndarray:
    """As `read`, but of the header alone: an array of that shape, all zeros, that takes no memory.

    Raises:
        ValueError: as `read`, for what the header and the size of the file tell.
        OSError: where the file cannot be opened.
    """

    def zeros(read: Read, capacity: int, ndim: int) -> np.ndarray:
        return np.broadcast_to(np.uint8(0), _parse_header(read, capacity, ndim))

    return _open(Path(path), ndim, zeros)


def _open(path: Path, ndim: int, parse: Callable[[Read, int, int], np.ndarray]) -> np.ndarray:
    size = path.stat().st_size
    try:
        if path.suffix == ".gz":
            return parse(_inflating(path.read_bytes()), size * DEFLATE_MAX_RATIO, ndim)
        with open(path, "rb") as stream:
            return parse(stream.read, size, ndim)
    except zlib.error as error:
        raise ValueError(f"{path}: not a valid gzip file: {error}") from None
    except EOFError:
        raise ValueError(f"{path}: truncated: its gzip data ends too early") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _inflating(compressed: bytes) -> Read:
    """Reads what a gzip file holds, as a file's `read` would.

    The module gzip reads 8 KiB at a time, and takes Python's lock back after each: beside a thread
    that compiles it needs three times as long.
    """
    stream, rest = zlib.decompressobj(GZIP), compressed

    def read(count: int) -> bytes:
        nonlocal stream, rest
        pieces: list[bytes] = []
        while missing := count - sum(map(len, pieces)):
            if stream.eof:
                rest = stream.unused_data.lstrip(b"\0")  # padding, or another member
                if not rest:
                    break
                stream = zlib.decompressobj(GZIP)
            piece = stream.decompress(rest, missing)
            rest = stream.unconsumed_tail
            if not (piece or rest or stream.eof):
                raise EOFError
            pieces.append(piece)
        return b"".join(pieces)

    return read


def _parse_header(read: Read, capacity: int, ndim: int) -> tuple[int, ...]:
    """Reads the shape of an IDX array from a file that can hold `capacity` bytes."""
    magic = read(4)
    if len(magic) < 4:
        raise ValueError("truncated: no IDX header")
    zeros, element_type, dimensions = struct.unpack(">HBB", magic)
    if zeros != 0:
        raise ValueError(f"not an IDX file: it starts with {magic.hex()}, not with 0000")
    if element_type != UNSIGNED_BYTE:
        raise ValueError(f"element type 0x{element_type:02x}, expected 0x08 (unsigned byte)")
    if dimensions != ndim:
        raise ValueError(f"{dimensions} dimensions, expected {ndim}")
    header = read(4 * ndim)
    if len(header) < 4 * ndim:
        raise ValueError("truncated: the IDX header ends too early")
    shape = struct.unpack(f">{ndim}I", header)
    if math.prod(shape) > capacity:
        raise ValueError(
            f"truncated: the header promises {_described(shape)} bytes, more than the file can hold"
        )
    return shape


def _described(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _parse(read: Read, capacity: int, ndim: int) -> np.ndarray:
    """Reads one IDX array from a file that can hold `capacity` bytes."""
    shape = _parse_header(read, capacity, ndim)
    expected = math.prod(shape)
    elements = read(expected)
    if len(elements) < expected:
        raise ValueError(
            f"truncated: the header promises {_described(shape)} = {expected} bytes, "
            f"only {len(elements)} are there"
        )
    if read(1):
        raise ValueError(
            f"too long: more bytes follow the {_described(shape)} = {expected} that the header "
            "promises"
        )
    return np.frombuffer(elements, np.uint8).reshape(shape)


def is_one(folder: Path) -> bool:
    """Whether a folder holds one of the four files, by its name."""
    return any(folder.glob("*-idx[13]-ubyte*"))


def read_folder(folder: str | os.PathLike[str], read_images: ReadArray = read) -> Source:
    """Reads the four files of a data set of the MNIST family, each plain or with `.gz`.

    The class count is the largest training label plus one. A file `labels.txt` beside them may name
    the classes, in UTF-8, one a line in the order of the labels.

    Args:
        folder: where they are.
        read_images: `read`, or `read_shape` where only the labels and the images' shapes matter.

    Raises:
        ValueError: in one line, where a file is missing or broken, counts of images and labels
            differ, or there are not as many class names as classes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    train = _read_split(folder, "train", read_images)
    test = _read_split(folder, "t10k", read_images)
    num_classes = int(train.labels.max()) + 1
    return Source(train, test, num_classes, read_class_names(folder, num_classes))


def _read_split(folder: Path, prefix: str, read_images: ReadArray) -> Dataset:
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    labels, count = read(labels_path, 1), len(read_shape(images_path, 3))
    if count != len(labels):  # before the images are read, which may be many
        raise ValueError(f"{images_path} holds {count} images, {labels_path} {len(labels)} labels")
    images = read_images(images_path, 3)
    if images.size == 0:
        raise ValueError(f"{images_path} holds no pixels: its shape is {images.shape}")
    return Dataset(images, labels.astype(np.int32))


def read_class_names(folder: Path, num_classes: int) -> tuple[str, ...]:
    path = folder / CLASS_NAMES_FILE
    if not path.exists():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from None
    if len(names) != num_classes or not all(names):
        raise ValueError(
            f"{path}: expected {num_classes} lines with a class name each, as many as classes; "
            f"found {len(names)} lines, {names.count('')} of them empty"
        )
    return names


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"{folder}: neither {name} nor {name}.gz is there")
