"""Arrays in files: their shapes are known at once, their rows are read when they are asked for."""

import contextlib
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

GZIP_MAGIC = b"\x1f\x8b"
# Deflate cannot expand a byte to more than 1032 (RFC 1951: 258 bytes from two bits at best).
DEFLATE_MAX_RATIO = 1032
BLOCK = 1 << 20
# Nothing that is read whole may expand by more than this: pictures of writing expand 5-fold.
MOST_EXPANSION, ALWAYS_ALLOWED = 100, 64 << 20
MOST_BYTES_A_ROW = 1 << 26


class StoredArray(NamedTuple):
    """An array in a file. `read` takes ascending row numbers and returns those rows."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[np.ndarray], np.ndarray]

    def whole(self) -> np.ndarray:
        return self.read(np.arange(self.shape[0]))


class ImagesNeeded(Exception):
    """What was asked for cannot be known before the images are read."""


Arrays = dict[str, StoredArray]  # what a file holds, by name
CLASS_NAMES = "class names"  # the name of an array of texts, one a class


def in_memory(array: np.ndarray) -> StoredArray:
    def read(rows: np.ndarray) -> np.ndarray:
        whole = len(rows) == len(array)
        return np.asarray(array if whole else array[rows])

    return StoredArray(array.shape, array.dtype, read)


@contextlib.contextmanager
def reading(path: Path, kind: str = "") -> Iterator[None]:
    """Turns whatever a library raises for a damaged file into one line that names the file.

    Raises:
        ValueError: for all but the errors of the file system.
    """
    try:
        yield
    except MemoryError:
        raise ValueError(f"{path}: takes more memory than there is") from None
    except EOFError:
        raise ValueError(f"{path}: truncated: its compressed data end too early") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a valid gzip file: {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        text = " ".join(str(error).split())[:500]
        if text.startswith(str(path)):
            raise ValueError(text) from None
        said = text if type(error) is ValueError else f"damaged: {type(error).__name__}: {text}"
        raise ValueError(f"{path}: {kind and f'{kind}: '}{said}") from None


def opened(path: Path) -> Any:
    """Opens a file to be read; gzip data, by content, come out decompressed."""
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    return gzip.open(path) if compressed else open(path, "rb")


def capacity(path: Path) -> int:
    """The most bytes that `opened` can give."""
    with open(path, "rb") as file:
        ratio = DEFLATE_MAX_RATIO if file.read(2) == GZIP_MAGIC else 1
    return path.stat().st_size * ratio


def content(path: Path) -> Any:
    """All that `opened` gives.

    Raises:
        ValueError: where it expands like nothing but a file that is made to fill the memory.
    """
    most = max(ALWAYS_ALLOWED, MOST_EXPANSION * path.stat().st_size)
    with opened(path) as stream:
        found = stream.read(most + 1)
    check_expansion(len(found), path)
    return found


def check_expansion(size: int, path: Path) -> None:
    if size > max(ALWAYS_ALLOWED, MOST_EXPANSION * path.stat().st_size):
        raise ValueError(f"expands to more than {MOST_EXPANSION} times its size: not read")


def streamed(
    path: Path,
    open_stream: Callable[[], Any],
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    most: int,
) -> StoredArray:
    """An array in C order at `start` of a stream that can only be read from its front to its end.

    Memory grows with the rows that are asked for and are there, never with what a header claims;
    the file is read to its end, so that its checksums are checked.

    Raises:
        ValueError: where the array cannot fit into `most` bytes.
    """
    row = math.prod(shape[1:]) * dtype.itemsize
    described = f"{' x '.join(map(str, shape))} of {dtype} = {math.prod(shape[:1]) * row} bytes"
    if dtype.kind not in "biufSU" or not shape:
        raise ValueError(f"an array of {dtype} {shape}: expected numbers, or labels as text")
    if shape[0] * row > most:
        raise ValueError(f"truncated: the header promises {described}, more than the file can hold")
    if row > MOST_BYTES_A_ROW:
        raise ValueError(f"the header promises {described}: too many for an image")

    def read(rows: np.ndarray) -> np.ndarray:
        kept, step = bytearray(), max(1, BLOCK // max(row, 1))
        with reading(path), open_stream() as stream:
            stream.seek(start)
            for first in range(0, shape[0] if row else 0, step):
                count = min(step, shape[0] - first)
                block = stream.read(count * row)
                if len(block) < count * row:
                    raise ValueError(
                        f"truncated: the header promises {described}, only "
                        f"{first * row + len(block)} are there"
                    )
                inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + count)]
                if len(inside) == count:
                    kept += block
                elif len(inside):
                    kept += np.frombuffer(block, np.uint8).reshape(count, row)[inside - first].data
            if stream.read(1):
                raise ValueError(f"too long: more bytes follow the {described} of the header")
        return np.frombuffer(kept, dtype).reshape(len(rows), *shape[1:])

    return StoredArray(shape, dtype, read)
