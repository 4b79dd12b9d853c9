"""Checkpoints: what comes back, which are kept, and what damage does."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, hyperparameters, make_training
from digits_jax.runs import checkpoints
from digits_jax.runs.checkpoints import Checkpoint
from digits_jax.runs.history import Row
from digits_jax.training import TrainState

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
    for epoch in epochs:
        at_epoch = Checkpoint(state._replace(step=np.int32(6 * epoch)), ROWS[:epoch])
        checkpoints.save(directory, identity, at_epoch)
    return template


def epochs_in(directory):
    return sorted(path.name.removesuffix(".safetensors") for path in directory.iterdir())


def path_of(directory, epoch):
    return directory / f"{epoch}.safetensors"


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
    checkpoints.save(tmp_path, IDENTITY, Checkpoint(state, ROWS[:1]))
    later, _ = epoch(numbers, state, train_set)  # writes over the memory of `state`
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
    (tmp_path / ".1.safetensors.123.half-written").touch()  # of a process killed as it saved
    assert checkpoints.restore(tmp_path, IDENTITY, template) == (None, [])


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_a_bit_of_the_history(path):
    """So that what is read is JSON, and wrong."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0.03333333333333333", b"0.03333333333333332", 1))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, flip_a_bit_of_the_history])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(tmp_path, damage):
    template = save_epochs(tmp_path, [3, 4, 5])
    damage(path_of(tmp_path, 5))
    restored, damaged = checkpoints.restore(tmp_path, IDENTITY, template)
    assert restored.state.step == 24
    assert len(restored.rows) == 4
    [line] = damaged
    assert line.startswith(f"{path_of(tmp_path, 5)} is damaged (")
    assert line.endswith("): using the checkpoint before it")


def test_a_run_that_went_on_before_a_damaged_checkpoint_removes_it(tmp_path):
    save_epochs(tmp_path, [4, 5, 8, 9])
    save_epochs(tmp_path, [6])
    assert epochs_in(tmp_path) == ["5", "6"]


def test_where_all_are_damaged_nothing_is_removed(tmp_path):
    template = save_epochs(tmp_path, [1, 2])
    for epoch in (1, 2):
        truncate(path_of(tmp_path, epoch))
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read"):
        checkpoints.restore(tmp_path, IDENTITY, template)
    assert epochs_in(tmp_path) == ["1", "2"]


def test_checkpoints_of_an_earlier_version_which_are_folders_are_not_passed_over(tmp_path):
    (tmp_path / "4").mkdir()
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read"):
        checkpoints.restore(tmp_path, IDENTITY, training_of(CONFIG)[1])


def test_whatever_is_damaged_the_one_before_it_is_used(tmp_path):
    template = save_epochs(tmp_path, [4, 5])
    path = path_of(tmp_path, 5)
    original = path.read_bytes()
    draw = random.Random(0)
    for trial in range(300):
        content = bytearray(original)
        at = draw.randrange(len(content))
        if draw.random() < 0.3:
            content = content[:at]
        else:
            content[at] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        restored, [line] = checkpoints.restore(tmp_path, IDENTITY, template)
        assert "\n" not in line, (trial, line)
        assert restored.state.step == 24, trial
        assert len(restored.rows) == 4, trial


def test_leaves_of_every_type_come_back(tmp_path):
    key = jax.random.key(3)
    state = TrainState(
        params={"half": jnp.arange(5, dtype=jnp.bfloat16) / 3, "none": ()},
        opt_state=(np.uint32([1, 2**32 - 1]), jax.random.split(key, 2), np.bool_([True, False])),
        step=jnp.int32(7),
        key=key,
    )
    checkpoints.save(tmp_path, IDENTITY, Checkpoint(state, ROWS[:1]))
    template = jax.eval_shape(lambda: state)
    restored, _ = checkpoints.restore(tmp_path, IDENTITY, template)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    for left, right in zip(*map(jax.tree.leaves, (restored.state, state)), strict=True):
        assert left.dtype == right.dtype
        assert (left == right).all()


def test_a_checkpoint_that_lacks_a_setting_has_its_default(tmp_path):
    template = save_epochs(tmp_path, [1])  # its identity names neither
    restored, _ = checkpoints.restore(tmp_path, IDENTITY | {"momentum": 0.9}, template)
    assert restored.state.step == 6
    message = r"1.safetensors: of another run: momentum is 0.9 there, and 0.8 here"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(tmp_path, IDENTITY | {"momentum": 0.8}, template)


def test_a_checkpoint_with_a_setting_of_a_later_version_is_refused(tmp_path):
    template = save_epochs(tmp_path, [1], identity=IDENTITY | {"dropout": 0.4})
    with pytest.raises(ValueError, match=r"this version knows no setting dropout, which is 0.4"):
        checkpoints.restore(tmp_path, IDENTITY, template)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save_epochs(tmp_path, [1])
    _, other = training_of(Config(train_size=60, hidden=(9,)))
    message = r"1.safetensors: of another run: hidden is \[8\] there, and \[9\] here"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(tmp_path, IDENTITY | {"hidden": (9,)}, other)


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", "checkpoint 2")
    template = save_epochs(tmp_path, [1])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format 'checkpoint 2', this version reads checkpoint 1"):
        checkpoints.restore(tmp_path, IDENTITY, template)


def test_a_checkpoint_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file'$"):
        save_epochs(tmp_path / "file", [1])
