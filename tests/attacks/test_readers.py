"""Every reader of a run's files under damage and forgery: a value, or one line; little memory."""

import contextlib
import json
import random
import re
import resource
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from digits_jax import Config, data, export, hyperparameters, make_training, runs
from digits_jax.reports import sweep as sweep_page
from digits_jax.runs import checkpoints, flags_file, identity, model_file, reading, tensor_file
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.history import Row
from experiments.sweeping import results

MEMORY, SECONDS = 2**29, 60  # of one call, beside what the process holds; far more than it needs
HOSTILE = (
    *(None, True, [], {}, "", -1, 0, 10**9, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("\x1b[31m", "=1+1", "../../x", "\u202e", "a\nb", "\ud800", "x" * 200_000, [[[]]], [None] * 9),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_idx_folder, tiny_split, train_run):
    """A finished run, with all files that one may have."""
    place = tmp_path_factory.mktemp("readers")
    write_idx_folder(place / "data", tiny_split(40), tiny_split(24, seed=1))
    settings = {"data_dir": str(place / "data"), "train_size": 30, "validation_size": 0}
    run = train_run(place / "run", **settings, hidden=("6",), epochs=2, learning_rate=0.01)
    config = Config(**settings, hidden=("6",), epochs=2, learning_rate=0.01)
    splits = data.load(**config.data_settings)
    runs.begin(config, splits, run, [*flags_file.of_config(config), "--checkpoint_seconds=9.0"])
    training = make_training(config, (5, 7), 3)
    state = training.init(hyperparameters(config))
    rows = tuple(Row(epoch, 3 * epoch, 0.5, 0.5, None, None, 0.01, 0.1) for epoch in (1, 2))
    here = identity.of_run(config, splits, identity.data_sha256(splits))
    checkpoints.save(run / runs.CHECKPOINTS, here, Checkpoint(state, rows))
    (run / runs.RESULTS_FILE).write_text(TABLE)
    shutil.copy(run / runs.IDENTITY_FILE, run / "as_begun")
    return run


COLUMNS = ("run", "learning_rate", "seed", *results.OUTCOMES)
ROWS = [{"learning_rate": rate, "seed": "0"} for rate in ("0.1", "1.0")]
TABLE = ",".join(COLUMNS) + "\n"
TABLE += "".join(
    f"{n},{r['learning_rate']},0{',1' * len(results.OUTCOMES)}\n" for n, r in enumerate(ROWS)
)


def read_checkpoint(run):
    identity = json.loads((run.parent / runs.IDENTITY_FILE).read_text())
    config = Config(train_size=30, validation_size=0, hidden=("6",), epochs=2, learning_rate=0.01)
    template = jax.eval_shape(make_training(config, (5, 7), 3).init, hyperparameters(config))
    checkpoints.restore(run, identity, template)


# By the file that is damaged: what reads it. Of a checkpoint, the folder that it lies in.
READERS = {
    "model.safetensors": (model_file.load, lambda path: reading.read(path.parent)),
    "checkpoints/2.safetensors": (lambda path: read_checkpoint(path.parent),),
    "flags.txt": (lambda path: flags_file.config(flags_file.read(path)),),
    "identity.json": (
        lambda path: identity.check(
            path.parent, json.loads((path.parent / "as_begun").read_text())
        ),
    ),
    "summary.json": (
        lambda path: reading.read(path.parent),
        lambda path: export.read(path.parent),
        lambda path: runs.is_finished(Config(), path.parent),
    ),
    "metrics.csv": (
        lambda path: reading.read(path.parent),
        lambda path: reading.read_unfinished(path.parent),
    ),
    "results.csv": (
        lambda path: results.read_or_make(path, COLUMNS, ROWS),
        lambda path: sweep_page.settings(path.parent),
    ),
}


@contextlib.contextmanager
def capped():
    """Little memory beside what the process has, and an end to what does not end."""
    held = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)

    def too_long(*_):
        raise AssertionError(f"not read within {SECONDS} s")

    earlier = signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def gives_one_line(readers, path, content):
    path.write_bytes(content)
    for read in readers:
        with capped():
            try:
                read(path)
            except (ValueError, OSError) as error:
                assert "\n" not in str(error), content[:99]  # noqa: PT017


def damaged(content, draw):
    """One damage to bytes: flipped, cut, doubled, overwritten."""
    content = bytearray(content)
    at, length = draw.randrange(len(content)), draw.randrange(1, 40)
    kind = draw.choice(["flip", "cut", "lose", "double", "junk", "digits"])
    if kind == "flip":
        content[at] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del content[at:]
    elif kind == "lose":
        del content[at : at + length]
    elif kind == "double":
        content[at:at] = content[at : at + length]
    elif kind == "junk":
        content[at : at + length] = draw.randbytes(length)
    else:
        content[at : at + 1] = b"9" * draw.choice([1, 30, 5000])
    return bytes(content)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "run")


@pytest.mark.parametrize("count", [8, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_damage_gives_a_value_or_one_line(copy, capsys, name, count):
    path, draw = copy / name, random.Random(f"{name} {count}")
    whole = path.read_bytes()
    for read in READERS[name]:
        read(path)  # what is not damaged is read
    hostile = [b"", b"\n", b"\0" * 999, b"\xef\xbb\xbf" + whole, whole * 2, b"[" * 100_000]
    hostile += [whole.replace(b"\n", b"\r\n"), b'{"a":' * 50_000, b"," * 300_000, b"x" * 300_000]
    hostile += [b"--seed=" + b"9" * 9000 + b"\n", b'"' + whole, whole + b'"' + b"y" * 200_000]
    hostile += [damaged(whole, draw) for _ in range(count)]
    for content in hostile:
        gives_one_line(READERS[name], path, content)
    with capsys.disabled():
        print(f" [{name}: {len(hostile)} inputs]", end="")


def forged(value, draw):
    """A JSON value with one place in it replaced by something hostile."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.05:
        return draw.choice(HOSTILE)
    if isinstance(value, dict):
        name = draw.choice(list(value))
        if draw.random() < 0.1:
            return {k: v for k, v in value.items() if k != name}
        return value | {name: forged(value[name], draw)}
    index = draw.randrange(len(value))
    return [*value[:index], forged(value[index], draw), *value[index + 1 :]]


@pytest.mark.parametrize("count", [8, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["summary.json", "identity.json"])
def test_forged_json_gives_a_value_or_one_line(copy, capsys, name, count):
    draw, whole = random.Random(count), json.loads((copy / name).read_text())
    for _ in range(count):
        content = json.dumps(forged(whole, draw)).encode()
        gives_one_line(READERS[name], copy / name, content)
    with capsys.disabled():
        print(f" [{name}: {count} inputs]", end="")


@pytest.mark.parametrize("count", [8, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/2.safetensors"])
def test_forged_headers_give_a_value_or_one_line(copy, capsys, name, count):
    """With a right checksum: by somebody who knows the format."""
    draw = random.Random(count)
    tensors, metadata = tensor_file.decode((copy / name).read_bytes())
    types = (np.float16, np.float64, np.int8, np.int64, np.bool_, np.complex64, np.uint32)
    for _ in range(count):
        changed, about = dict(tensors), metadata
        if draw.random() < 0.5:
            about = forged(metadata, draw)
        else:
            which = draw.choice(list(changed))
            array = changed.pop(which)
            with np.errstate(all="ignore"):
                odd = [array.astype(kind) for kind in types]
                odd += [array[..., None], array.reshape(-1), array * np.nan, array * 1e38]
                changed |= draw.choice([{}, {which: draw.choice(odd)}, {"\x1b]0;x": array}])
        content = tensor_file.encode(changed, about if isinstance(about, dict) else {})
        gives_one_line(READERS[name], copy / name, content)
    with capsys.disabled():
        print(f" [{name}: {count} inputs]", end="")
