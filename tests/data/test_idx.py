"""The IDX reader: real MNIST, every kind of broken file, and any bytes at all."""

import contextlib
import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_jax import data
from digits_jax.data import formats
from digits_jax.data.loading import EMBEDDED_MNIST

# Of the original distribution's files, decompressed.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.mark.parametrize("name", SHA256)
def test_the_embedded_files_are_the_original_ones(name):
    content = gzip.decompress((EMBEDDED_MNIST / f"{name}.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == SHA256[name]


def test_mnist_is_read_whole():
    train, _, test, num_classes, _ = data.load(train_size=60_000, validation_size=0)
    assert train.images.shape == (60_000, 28, 28)
    assert test.images.shape == (10_000, 28, 28)
    assert num_classes == 10
    # Published: the first training labels, images of each class, mean and deviation of a pixel.
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.labels).tolist() == [
        *(980, 1135, 1032, 1010, 982),
        *(892, 958, 1028, 974, 1009),
    ]
    assert train.images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert train.images.std() / 255 == pytest.approx(0.3081, abs=1e-4)


def read(path):
    return formats.read_file(path)[""].whole()


def header(*dimensions, element_type=0x08, zeros=0):
    return struct.pack(f">HBB{len(dimensions)}I", zeros, element_type, len(dimensions), *dimensions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a data file"),
        (header(2, 3, 3)[:9], "truncated: the IDX header ends too early"),
        (
            header(2, 3, 3) + bytes(17),
            "truncated: .* 2 x 3 x 3 of uint8 = 18 bytes, only 17 are there",
        ),
        (header(2, 3, 3) + bytes(19), "too long: more bytes follow the 2 x 3 x 3 of uint8 = 18"),
        (header(2, 3, 3, element_type=0x0A) + bytes(72), "element type 0x0a is none of IDX"),
        (header(2, 3, 3, zeros=0x5089) + bytes(18), "not a data file that is known here: IDX, "),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_a_broken_file_gives_one_line_that_names_it(tmp_path, content, message, compress):
    path = tmp_path / ("images.gz" if compress else "images")
    path.write_bytes(gzip.compress(content) if compress else content)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(header(2, 3, 3) + bytes(range(18)), mtime=0)[:-9], "truncated"),
        (
            gzip.compress(header(2, 3, 3) + bytes(18), mtime=0)[:-8] + bytes(8),
            "not a valid gzip file: CRC check failed",
        ),
        (gzip.compress(header(2, 3, 3) + bytes(18), mtime=0) + b"more", "not a valid gzip file"),
    ],
)
def test_broken_gzip_data(tmp_path, content, message):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_a_gzip_file_may_have_several_members_and_padding(tmp_path):
    content = header(2, 3, 3) + bytes(range(18))
    members = [gzip.compress(content[at : at + 11], mtime=0) for at in (0, 11, 22, 33)]
    (tmp_path / "images.gz").write_bytes(b"".join(members) + bytes(9))
    np.testing.assert_array_equal(read(tmp_path / "images.gz"), np.arange(18).reshape(2, 3, 3))


@pytest.mark.parametrize("compress", [False, True])
def test_a_lying_header_costs_no_memory(tmp_path, compress):
    content = header(2**32 - 1, 28, 28) + bytes(84)
    path = tmp_path / ("images.gz" if compress else "images")
    path.write_bytes(gzip.compress(content) if compress else content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="truncated"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_memory_grows_with_the_bytes_that_are_there(tmp_path):
    # The header promises a gigabyte: as much as this file could hold, but does not.
    content = header(2**20, 2**10) + np.random.default_rng(0).bytes(2 << 20)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(content, compresslevel=1))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"truncated: .* only 2097152 are there"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_gzip_data_that_expands_past_the_header_is_not_expanded(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header(1, 2, 2) + bytes(100 << 20), compresslevel=1))
    tracemalloc.start()
    with pytest.raises(ValueError, match="too long"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


valid = st.builds(
    lambda shape, fill: header(*shape) + bytes([fill]) * int(np.prod(shape)),
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.integers(0, 255),
)
almost_valid = st.builds(
    lambda content, cut, at, byte: (content[:at] + byte + content[at + 1 :])[: len(content) - cut],
    valid,
    st.integers(0, 3),
    st.integers(0, 40),
    st.binary(min_size=1, max_size=1),
)
compressed = st.builds(
    lambda content, at, byte: (lambda z: z[:at] + byte + z[at + len(byte) :])(
        gzip.compress(content, mtime=0)
    ),
    st.one_of(valid, almost_valid, st.binary()),
    st.integers(0, 60),
    st.binary(max_size=1),
)


@given(content=st.one_of(st.binary(), valid, almost_valid, compressed))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_an_array_or_a_value_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "file"
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        array = read(path)
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        start = header(*array.shape, element_type=plain[2])
        assert plain[4:] == start[4:] + array.tobytes()
