"""Files damaged or made to do harm: arrays or one line, in bounded memory, in every format."""

import gzip
import json
import pickle
import resource
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pytest
import scipy.io
from PIL import Image
from pyarrow import parquet

from digits_jax import data

# A process with 3 GB of address space, a third of it Python's and Arrow's, that reads each file.
READ_ALL = """
import json, logging, resource, sys
from digits_jax import data
logging.disable()
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for path in json.loads(sys.argv[1]):
    try:
        data.load(data_dir=path, train_size=10, validation_size=0)
        print("read")
    except ValueError as error:
        assert "\\n" not in str(error)
        print("refused", error)
    except OSError as error:
        assert error.errno
        print("refused", error)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("peak", int(status["VmHWM"].split()[0]) // 1024)  # ru_maxrss begins with the parent's
"""


def read_all(paths):
    """What became of each file, and the peak of memory in MB."""
    command = [sys.executable, "-c", READ_ALL, json.dumps(list(map(str, paths)))]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    *lines, peak = process.stdout.splitlines()
    assert len(lines) == len(paths)
    return lines, int(peak.split()[1])


@pytest.fixture
def files(tmp_path, tiny_split):
    """A small, right file in each format."""
    (images, labels), paths = tiny_split(40, (8, 8)), {}
    for name, save in {
        "a.npz": lambda p: np.savez(p, images=images, labels=labels),
        "b.npz": lambda p: np.savez_compressed(p, images=images, labels=labels),
        "c.mat": lambda p: scipy.io.savemat(p, {"X": images, "y": labels}, do_compression=True),
        "d.mat": lambda p: scipy.io.savemat(p, {"X": images, "y": labels}),
        "e.pkl": lambda p: p.write_bytes(
            pickle.dumps(((images, labels), (images, labels)), protocol=2)
        ),
        "f.csv": lambda p: np.savetxt(
            p, np.hstack([labels[:, None], images.reshape(40, -1)]), "%d", ","
        ),
    }.items():
        paths[name] = tmp_path / name
        save(paths[name])
    for name, compression in {"g.parquet": "snappy", "h.parquet": "zstd"}.items():
        paths[name] = tmp_path / name
        table = pa.table({"image": images.reshape(40, -1).tolist(), "label": labels})
        parquet.write_table(table, paths[name], compression=compression)
    paths["i.csv.gz"] = tmp_path / "i.csv.gz"
    paths["i.csv.gz"].write_bytes(gzip.compress(paths["f.csv"].read_bytes()))
    return paths


def damaged(content, rng, count):
    """Truncations, flipped bytes, and a run of bytes that all become 255."""
    for number in range(count):
        changed = bytearray(content)
        at = int(rng.integers(len(content)))
        if number % 3 == 0:
            changed = changed[:at]
        elif number % 3 == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        else:
            changed[at : at + 8] = b"\xff" * len(changed[at : at + 8])
        yield bytes(changed)


def write_damaged(files, tmp_path, count):
    rng, paths = np.random.default_rng(0), []
    for name, path in files.items():
        for number, content in enumerate(damaged(path.read_bytes(), rng, count)):
            paths.append(tmp_path / f"{number}-{name}")
            paths[-1].write_bytes(content)
    return paths


@pytest.mark.parametrize("count", [9, pytest.param(150, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_in_one_line(files, tmp_path, count):
    lines, _ = read_all(list(files.values()))
    assert lines == ["read"] * len(files)  # undamaged
    paths = write_damaged(files, tmp_path, count)
    lines, peak = read_all(paths)
    assert sum(line.startswith("refused") for line in lines) > len(paths) // 3
    assert peak < 1500


def zeros_npz(path, shape, claimed=None):
    """An .npz of zeros that takes a thousandth of their memory on disk."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, dimensions in {"x": claimed or shape, "y": shape[:1]}.items():
            header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {dimensions}, }}"
            header = header.ljust(117).encode() + b"\n"
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
                rest = int(np.prod(shape if name == "x" else shape[:1]))
                for start in range(0, rest, 1 << 20):
                    member.write(bytes(min(1 << 20, rest - start)))


def zeros_gz(path, header, count):
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header)
        for _ in range(count >> 20):
            file.write(bytes(1 << 20))


def test_what_expands_a_thousandfold_does_not_fill_the_memory(tmp_path):
    big = 400 << 20
    idx = tmp_path / "idx"
    idx.mkdir()
    for split in ("train", "t10k"):
        count = big >> 10 if split == "train" else 10
        header = struct.pack(">HBB3I", 0, 8, 3, count, 32, 32)
        zeros_gz(idx / f"{split}-images-idx3-ubyte.gz", header, count << 10 if count > 10 else 0)
        (idx / f"{split}-labels-idx1-ubyte").write_bytes(
            struct.pack(">HBBI", 0, 8, 1, count) + bytes(count)
        )
    (idx / "t10k-images-idx3-ubyte.gz").unlink()
    (idx / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">HBB3I", 0, 8, 3, 10, 32, 32) + bytes(10 << 10)
    )
    zeros_npz(tmp_path / "claims.npz", (1000, 32, 32), claimed=(10**12, 32, 32))
    zeros_gz(tmp_path / "bomb.csv.gz", b"1," * 785 + b"1\n", big)
    zeros_gz(tmp_path / "bomb.pkl.gz", b"\x80\x02", big)
    scipy.io.savemat(
        tmp_path / "bomb.mat", {"X": np.zeros((200_000, 32, 32), np.uint8)}, do_compression=True
    )
    picture = tmp_path / "bomb.png"
    Image.new("L", (9000, 9000)).save(picture)
    pictures = pa.table({"image": [picture.read_bytes()] * 500, "label": [0, 1] * 250})
    parquet.write_table(pictures, tmp_path / "bomb.parquet", compression="zstd")
    picture.unlink()
    paths = [idx, *sorted(path for path in tmp_path.iterdir() if path.is_file())]
    lines, peak = read_all(paths)
    assert lines[0] == "read"  # ten of many images
    assert all(line.startswith("refused") for line in lines[1:]), lines
    assert sum("expands to more than 100 times its size" in line for line in lines) == 3, lines
    assert peak < 900


def test_twenty_thousand_empty_members_take_no_time(tmp_path):
    content = struct.pack(">HBBI", 0, 8, 1, 5) + bytes(5)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"") * 20_000 + gzip.compress(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(ValueError, match="no labels"):
        data.load(data_dir=tmp_path / "x.gz", train_size=1, validation_size=0)
    # A minute of processor time when each member copied all that follow it.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 20


HEADERS = (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 2), ",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"(" * 900 + b"), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (10**400, 1), }",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999, 1), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2, 2), }",
    b"\xff\xfe not even text",
    b"[]",
)


@pytest.mark.parametrize("header", HEADERS)
def test_npy_headers_that_make_numpy_raise_all_kinds_of_errors(tmp_path, header):
    header = header.ljust(117) + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
    with pytest.raises(ValueError, match=r"a\.npy: NumPy array: "):
        data.load(data_dir=path, train_size=1, validation_size=0)


def test_names_that_are_not_utf_8_and_fields_that_are_too_long(tmp_path, tiny_split):
    for label, name in enumerate((b"\xff\xfe", b"b")):
        for number, image in enumerate(tiny_split(30, (8, 8), seed=label)[0]):
            folder = tmp_path / "pictures" / name.decode("utf-8", "surrogateescape")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    splits = data.load(data_dir=tmp_path / "pictures", train_size=10, validation_size=0)
    assert splits.class_names == ("b", "\ufffd\ufffd")
    (tmp_path / "long.csv").write_text(",".join(["1"] * 17) + "\n" + "9" * 200_000 + ",1" * 16)
    with pytest.raises(ValueError, match=r"long\.csv"):
        data.load(data_dir=tmp_path / "long.csv", train_size=1, validation_size=0)
