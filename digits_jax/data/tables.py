"""Tables with an image a row: CSV and Parquet, both read by Arrow."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from digits_jax.data.stored import CLASS_NAMES, Arrays, StoredArray, content, in_memory, opened

LABEL_NAMES = re.compile(r"(?i)(fine_|class_)?(labels?|class|target|digit|y)")
IMAGE_NAMES = re.compile(r"(?i)(image|img|pixels|x)s?")
MOST_PIXELS = 1 << 24
ROWS_AT_ONCE = 1024
# Of a PNG's header: 8 bits a channel, grey or RGB, not interlaced.
PNG_MODES = {b"\x08\0\0\0\0": "L", b"\x08\x02\0\0\0": "RGB"}


def read_csv(path: Path) -> Arrays:
    """A CSV file, also gzip: a row an image, its pixels and maybe its label, first or last.

    The label's column is the one of that name in a header; without a header, the first or the last,
    whichever is not the same in each row.
    """
    import pyarrow as pa
    from pyarrow import csv

    with opened(path) as stream:
        is_plain = isinstance(stream, io.BufferedReader)
        first = stream.readline(MOST_PIXELS).decode("utf-8-sig", "replace").strip()
    separator = max(",;\t ", key=first.count)
    fields = [field.strip().strip('"') for field in first.split(separator)]
    has_header = not all(map(_is_number, fields[1:-1]))
    if separator == " ":  # in columns, and maybe with spaces at the ends of lines
        data = re.sub(rb" +", b" ", re.sub(rb"(?m)^ +| +\r?$", b"", content(path)))
        fields = first.split()
    elif not is_plain:
        data = content(path)
    names = fields if has_header else [f"column {number}" for number in range(len(fields))]
    names = [name if names.index(name) == i else f"{name} {i}" for i, name in enumerate(names)]
    ends = (names[0], names[-1])
    labels = [name for name in names if has_header and LABEL_NAMES.fullmatch(name)][:1]

    def table(pixel_type: Any) -> Any:
        return csv.open_csv(
            pa.OSFile(str(path)) if is_plain and separator != " " else pa.BufferReader(data),
            read_options=csv.ReadOptions(
                column_names=names, skip_rows=int(has_header), block_size=1 << 20
            ),
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(
                column_types={name: pixel_type for name in names if name not in (*ends, *labels)}
            ),
        ).read_all()

    try:
        read = table(pa.uint8())
    except pa.ArrowInvalid:
        read = table(pa.float32())
    if not labels and not _is_square(len(names)):
        labels = [name for name in ends if len(read[name].unique()) > 1][:2]
        if len(labels) == 2:  # a label has few values, a pixel many
            counts = [len(read[name].unique()) for name in labels]
            labels = [labels[int(np.argmin(counts))]]
    pixels = [name for name in names if name not in labels]
    if not _is_square(len(pixels)):
        raise ValueError(
            f"{len(names)} columns: expected a label and a square number of pixels, or a header "
            "that names the column label"
        )
    if any(column.null_count for column in read.columns):
        raise ValueError("a field is empty: expected a number in each")
    dtype = np.dtype(read[pixels[1]].type.to_pandas_dtype())
    ends_read = (read[name].to_numpy() for name in (pixels[0], pixels[-1]))
    if any(end.min() < 0 or end.max() > 255 for end in ends_read):
        dtype = np.dtype(np.float32)
    images = np.empty((len(pixels), len(read)), dtype)
    for row, name in zip(images, pixels, strict=True):
        row[:] = read[name].to_numpy()
    images = np.ascontiguousarray(images.T)
    if dtype == np.uint8 and images.max() <= 16:
        images = images.astype(np.int16)  # text does not say what its numbers could have been
    found = {"images": in_memory(images)}
    if labels:
        found["labels"] = in_memory(read[labels[0]].to_numpy(zero_copy_only=False))
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_square(number: int) -> bool:
    return int(number**0.5) ** 2 == number


def read_parquet(path: Path) -> Arrays:
    """A Parquet file: a column of encoded pictures, as Hugging Face writes it, or of lists of
    pixels, and a column of labels, whose names may be in the metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    schema, count = file.schema_arrow, file.metadata.num_rows
    labels = [n for n in schema.names if LABEL_NAMES.fullmatch(n)]
    images = [n for n in schema.names if IMAGE_NAMES.fullmatch(n)]
    if len(images) != 1 or len(labels) > 1:
        raise ValueError(
            f"columns {', '.join(schema.names[:8])}: expected one named image and one named label"
        )
    is_struct = pa.types.is_struct(schema.field(images[0]).type)
    column = f"{images[0]}.bytes" if is_struct else images[0]

    def batches() -> Any:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column]):
            array = batch.column(0)
            yield array.field(0) if is_struct else array

    sample = next(batches())[0].as_py()
    first = _pixels(sample)

    def read(rows: np.ndarray) -> np.ndarray:
        kept, start, done = np.empty((len(rows), *first.shape), first.dtype), 0, 0
        for batch in batches():
            end = int(np.searchsorted(rows, start + len(batch)))
            wanted = batch.take(rows[done:end] - start).to_pylist()
            for i, picture in enumerate(wanted, start=done):
                pixels = _pixels(picture, sample)
                if pixels.shape != first.shape:
                    sizes = ["{1} x {0}".format(*image.shape) for image in (first, pixels)]
                    raise ValueError(f"images of {sizes[0]} and {sizes[1]} pixels")
                kept[i] = pixels
            start, done = start + len(batch), end
        return kept

    found = {"images": StoredArray((count, *first.shape), first.dtype, read)}
    if labels:
        values = file.read(columns=labels).column(0)
        if values.null_count:
            raise ValueError("a label is missing")
        found["labels"] = in_memory(values.to_numpy(zero_copy_only=False))
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {})
        if names := info.get("features", {}).get(labels[0], {}).get("names"):
            found[CLASS_NAMES] = in_memory(np.array(names, str))
    return found


def _pixels(content: Any, sample: bytes | None = None) -> np.ndarray:
    """The pixels of an encoded picture, or of a list of numbers.

    A PNG in one piece with the header of `sample` is given to Pillow's decoder directly: twice as
    fast for small images as to open it as a file.
    """
    from PIL import Image

    if not isinstance(content, bytes):
        return np.asarray(content)
    end = 41 + int.from_bytes(content[33:37], "big")
    mode = PNG_MODES.get(content[24:29])
    if mode and sample and content[:33] == sample[:33] and content[end + 8 : end + 12] == b"IEND":
        height, width = (int.from_bytes(content[at : at + 4], "big") for at in (20, 16))
        image = Image.frombytes(mode, (width, height), content[41:end], "zip", mode, 0)
        shape = (height, width) if mode == "L" else (height, width, 3)
        return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)
    with Image.open(io.BytesIO(content)) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"an image of {image.width} x {image.height} pixels")
        known = image.mode in ("L", "RGB") or image.mode.startswith(("I", "F"))
        return np.asarray(image if known else image.convert("L"))
