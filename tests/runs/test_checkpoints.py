"""Checkpoints: what comes back, which are kept, and what damage does."""

import random

import jax
import numpy as np
import pytest

from digits_jax import Config, Dataset, hyperparameters, make_training
from digits_jax.runs import checkpoints
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.history import Row

CONFIG = Config(train_size=60, hidden=(8,), learning_rate=0.1, epochs=9)
IDENTITY = {"hidden": (8,), "seed": 0}
ROWS = tuple(Row(epoch, 6 * epoch, 0.1 / 3, 0.5, None, None, 0.1, 1e-6) for epoch in range(1, 10))


@pytest.fixture
def train_set(tiny_split):
    images, labels = tiny_split(60)
    return Dataset(images, labels.astype(np.int32))


def training_of(config):
    training = make_training(config, (5, 7), 3)
    template = jax.eval_shape(training.init, hyperparameters(config))
    return training, template


def same(left, right):
    def host(state):
        return jax.tree.leaves(jax.device_get(state._replace(key=jax.random.key_data(state.key))))

    for a, b in zip(host(left), host(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    return jax.tree.structure(left) == jax.tree.structure(right)


def save_epochs(directory, epochs, config=CONFIG, identity=IDENTITY):
    """Saves the initial state of `config` as if it were that of each of `epochs`."""
    training, template = training_of(config)
    state = training.init(hyperparameters(config))
    with checkpoints.saving(directory, identity, epochs[0] - 1) as save:
        for epoch in epochs:
            save(Checkpoint(state._replace(step=np.int32(6 * epoch)), ROWS[:epoch]))
    return template


def epochs_in(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "nesterov", "clip_norm": 1.0, "weight_decay": 1e-3},
        {"optimizer": "adamw", "schedule": "warmup_cosine"},
    ],
)
def test_a_state_comes_back_to_the_bit(tmp_path, train_set, settings):
    config = Config(train_size=60, hidden=(8,), learning_rate=0.1, epochs=9, **settings)
    training, template = training_of(config)
    numbers = hyperparameters(config)
    epoch = jax.jit(training.epoch, donate_argnums=1)
    state, _ = epoch(numbers, training.init(numbers), train_set)
    with checkpoints.saving(tmp_path, IDENTITY, 0) as save:
        save(Checkpoint(state, ROWS[:1]))
        # While that is saved, the next epoch writes over the memory of its state.
        later, _ = epoch(numbers, state, train_set)
    restored, damaged = checkpoints.restore(tmp_path, IDENTITY, template)
    assert damaged == []
    assert restored.rows == ROWS[:1]
    assert restored.state.step == 6
    again, _ = epoch(numbers, training.init(numbers), train_set)
    assert same(restored.state, again)
    resumed, _ = epoch(numbers, jax.device_put(restored.state), train_set)
    assert same(resumed, later)


def test_the_last_three_are_kept(tmp_path):
    save_epochs(tmp_path, [1, 2, 4, 7, 8])
    assert epochs_in(tmp_path) == ["4", "7", "8"]


def test_what_was_never_saved_is_no_checkpoint(tmp_path):
    _, template = training_of(CONFIG)
    assert checkpoints.restore(tmp_path / "none", IDENTITY, template) == (None, [])
    (tmp_path / "1.orbax-checkpoint-tmp").mkdir()  # of a process killed as it saved
    assert checkpoints.restore(tmp_path, IDENTITY, template) == (None, [])


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def largest_file(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
@pytest.mark.parametrize("item", [checkpoints.STATE, checkpoints.METADATA])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(tmp_path, damage, item):
    template = save_epochs(tmp_path, [3, 4, 5])
    damage(largest_file(tmp_path / "5" / item))
    restored, damaged = checkpoints.restore(tmp_path, IDENTITY, template)
    assert restored.state.step == 24
    assert len(restored.rows) == 4
    [line] = damaged
    assert line.startswith(f"{tmp_path / '5'} is damaged (")
    # The run that goes on from there replaces it.
    with checkpoints.saving(tmp_path, IDENTITY, 4):
        assert epochs_in(tmp_path) == ["3", "4"]


def test_where_all_are_damaged_nothing_is_removed(tmp_path):
    template = save_epochs(tmp_path, [1, 2])
    for epoch in ("1", "2"):
        truncate(largest_file(tmp_path / epoch))
    with pytest.raises(ValueError, match=r"every checkpoint in .* is damaged"):
        checkpoints.restore(tmp_path, IDENTITY, template)
    assert epochs_in(tmp_path) == ["1", "2"]


def test_whatever_is_damaged_the_state_is_right(tmp_path):
    template = save_epochs(tmp_path, [4, 5])
    files = [path for path in (tmp_path / "5").rglob("*") if path.is_file()]
    draw = random.Random(0)
    noticed = 0
    for trial in range(60):
        path = draw.choice(files)
        original = path.read_bytes()
        content = bytearray(original)
        at = draw.randrange(len(content)) if content else 0
        if draw.random() < 0.3:
            path.unlink()
        elif draw.random() < 0.3:
            path.write_bytes(content[:at])
        elif content:
            content[at] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
        restored, damaged = checkpoints.restore(tmp_path, IDENTITY, template)
        assert restored.state.step == (24 if damaged else 30), (trial, path)
        assert len(restored.rows) == (4 if damaged else 5), (trial, path)
        noticed += len(damaged)
        path.write_bytes(original)
    assert 10 < noticed < 60


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save_epochs(tmp_path, [1])
    _, other = training_of(Config(train_size=60, hidden=(9,)))
    message = r"1 is of another run: hidden is \[8\] there, and \[9\] in this run"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(tmp_path, IDENTITY | {"hidden": (9,)}, other)


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    template = save_epochs(tmp_path, [1])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="1: format 2, this version reads 1"):
        checkpoints.restore(tmp_path, IDENTITY, template)


def test_a_checkpoint_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file: cannot save a checkpoint: "):
        save_epochs(tmp_path / "file", [1])
