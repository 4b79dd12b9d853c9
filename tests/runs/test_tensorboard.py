"""Event files, read by what their format says, without TensorFlow."""

import builtins
import contextlib
import struct

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from digits_jax import Affine, Config, runs
from digits_jax.runs import tensorboard
from digits_jax.runs.programs import compile_programs

CONFIG = Config(train_size=60, validation_size=15, hidden=(8,), epochs=3, learning_rate=1.0)


def read_events(directory):
    """The events of each file: records of length (8 bytes), checksum (4), event, checksum (4)."""
    for path in sorted(directory.glob(tensorboard.EVENT_FILES)):
        content, at, events = path.read_bytes(), 0, []
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            events.append(event_pb2.Event.FromString(content[at + 12 : at + 12 + length]))
            at += 12 + length + 4
        yield events


def scalars(events):
    return {
        (value.tag, event.step): value.simple_value
        for event in events
        for value in event.summary.value
    }


def test_events_hold_what_metrics_hold_and_norms_by_layer(tmp_path, splits):
    programs = compile_programs(CONFIG, splits, gradient_norms=True)
    rows = []

    def observers(done):
        seeing = contextlib.nullcontext(lambda epoch: rows.append(epoch.row))
        return [seeing, tensorboard.writing(tmp_path, done)]

    asked = iter([False, False, False, True])
    with pytest.raises(runs.Stopped):
        runs.train(
            CONFIG,
            splits,
            tmp_path,
            observers(0),
            programs=programs,
            should_stop=lambda: next(asked),
        )
    checkpoint, _ = runs.restore(CONFIG, splits, tmp_path)
    runs.train(CONFIG, splits, tmp_path, observers(2), programs=programs, checkpoint=checkpoint)

    first, second = read_events(tmp_path)
    assert {event.step for event in first if event.summary.value} == {1, 2}
    # What an interrupted run wrote of epochs after its checkpoint, TensorBoard leaves out.
    session = event_pb2.SessionLog.START
    assert [event.step for event in second if event.session_log.status == session] == [3]
    values = scalars(first) | scalars(second)
    assert {tag for tag, _ in values} == {
        "loss/train",
        "loss/validation",
        "accuracy/train",
        "accuracy/validation",
        "learning_rate",
        "gradient_norm/layer_0",
        "gradient_norm/layer_1",
        "parameter_norm/layer_0",
        "parameter_norm/layer_1",
    }
    for row in rows:
        for tag, value in {
            "loss/train": row.train_loss,
            "loss/validation": row.validation_loss,
            "accuracy/train": row.train_accuracy,
            "accuracy/validation": row.validation_accuracy,
            "learning_rate": row.learning_rate,
        }.items():
            assert values[tag, row.epoch] == np.float32(value)
        assert values["gradient_norm/layer_0", row.epoch] > 0
    model = runs.load(tmp_path / runs.MODEL_FILE)
    last = model.params[3]
    norm = np.sqrt(np.sum(np.square(last.weights)) + np.sum(np.square(last.biases)))
    assert values["parameter_norm/layer_1", 3] == pytest.approx(float(norm), rel=1e-6)


def test_parameter_norms_are_of_weights_and_biases_together():
    layer = Affine(np.array([[2.0, 0.0], [0.0, 3.0]], np.float32), np.array([6.0, 0.0], np.float32))
    assert tensorboard.parameter_norms((layer,)) == (7.0,)


def test_without_tensorboardx_one_line_names_the_extra(monkeypatch):
    real_import = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[tensorboard\]'"):
        tensorboard.check_installed()
