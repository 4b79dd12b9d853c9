"""Exported models: what comes back, and what a damaged file gets."""

import dataclasses
import json
import pickle
import re

import jax
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits_jax import Config, make_model
from digits_jax.runs import model_file, tensor_file

CONFIG = Config(hidden=(5, 4), activation="gelu", seed=7)


@pytest.fixture(scope="module")
def model():
    params = make_model(CONFIG, (3, 4), 6).init(jax.random.key(0))
    return model_file.TrainedModel(params, CONFIG, (3, 4), 6)


@pytest.fixture
def path(tmp_path, model):
    model_file.save(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def test_a_model_comes_back(path, model):
    loaded = model_file.load(path)
    assert loaded[1:] == (CONFIG, (3, 4), 6, "")
    for a, b in zip(jax.tree.leaves(loaded.params), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_array_equal(a, b)
    images = jax.random.uniform(jax.random.key(1), (2, 3, 4))
    network = make_model(loaded.config, loaded.image_shape, loaded.num_classes)
    np.testing.assert_array_equal(
        network.apply(loaded.params, images), network.apply(model.params, images)
    )


def test_other_tools_read_the_tensors(path, model):
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == [
        f"layers.{layer}.{field}" for layer in range(3) for field in ("biases", "weights")
    ]
    np.testing.assert_array_equal(tensors["layers.1.weights"], model.params[3].weights)


def test_the_same_model_gives_the_same_bytes(path, model):
    first = path.read_bytes()
    for _ in range(5):
        model_file.save(path, model)
        assert path.read_bytes() == first


@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_bit_anywhere_in_the_file_is_noticed(tmp_path, path, data):
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        model_file.load(damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: array.astype(np.int8), "int8 [5, 12], expected float32 [5, 12]"),
        (lambda array: array.astype(bool), "bool [5, 12], expected float32 [5, 12]"),
        (lambda array: array.astype(np.complex64), "complex64 [5, 12], expected float32 [5, 12]"),
        (lambda array: array * np.nan, "layers.0.weights holds NaN or infinity"),
        (lambda array: array.astype(np.float64) * 1e300, "layers.0.weights holds NaN or infinity"),
    ],
)
def test_parameters_of_another_type_or_not_finite_are_refused(path, change, message):
    tensors, metadata = tensor_file.decode(path.read_bytes())
    changed = tensors | {"layers.0.weights": change(tensors["layers.0.weights"])}
    path.write_bytes(tensor_file.encode(changed, metadata))
    with pytest.raises(ValueError, match=re.escape(message)):
        model_file.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_shape", [10**400, 1]),
        ("image_shape", [3]),
        ("image_shape", 7),
        ("image_shape", [3, -4]),
        ("image_shape", [3.0, 4]),
        ("num_classes", 10**9),
        ("num_classes", None),
        ("config", None),
        ("config", [1]),
        ("config", {"epochs": 10**400}),
        ("config", {"learning_rate": 10**400}),
        ("config", {"hidden": [[["5"]]]}),
        ("config", {"loss": {}}),
        ("format", None),
        ("format", {}),
    ],
)
def test_forged_metadata_give_one_line(path, name, value):
    tensors, metadata = tensor_file.decode(path.read_bytes())
    path.write_bytes(tensor_file.encode(tensors, metadata | {name: value}))
    with pytest.raises(ValueError, match=r"^\S+model.safetensors: [^\n]+$"):
        model_file.load(path)


def test_a_model_of_the_first_format_is_read(path, model):
    """As earlier versions wrote it: the digest is of the tensors alone."""
    tensors, metadata = tensor_file.decode(path.read_bytes())
    metadata |= {"format": 1, "sha256": tensor_file.sha256(tensors)}
    path.write_bytes(safetensors.numpy.save(tensors, {"digits_jax": json.dumps(metadata)}))
    assert model_file.load(path).config == CONFIG


@given(data=st.data())
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_gives_a_model_or_one_line(tmp_path, path, data):
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        model_file.load(damaged)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_what_is_no_model_of_ours_is_refused(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(pickle.dumps({"layers": 1}))
    with pytest.raises(ValueError, match="not a safetensors file"):
        model_file.load(path)
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}))
    with pytest.raises(ValueError, match="not one of digits_jax"):
        model_file.load(path)
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, {"digits_jax": '{"format": 99}'}))
    with pytest.raises(ValueError, match="damaged, or of a later version: its SHA-256"):
        model_file.load(path)
    path.write_bytes(tensor_file.encode({"a": np.zeros(3)}, {"format": 99}))
    with pytest.raises(ValueError, match=r"format 99, this version reads \(1, 2\)"):
        model_file.load(path)


def test_a_setting_that_its_version_did_not_have_is_at_default(path):
    tensors, metadata = tensor_file.decode(path.read_bytes())
    for name in ("label_smoothing", "clip_norm"):
        del metadata["config"][name]
    path.write_bytes(tensor_file.encode(tensors, metadata))
    assert model_file.load(path).config == CONFIG
    metadata["config"]["dropout"] = 0.4  # of a later version
    path.write_bytes(tensor_file.encode(tensors, metadata))
    with pytest.raises(ValueError, match="unknown settings: dropout"):
        model_file.load(path)


def test_parameters_of_another_network_are_refused(path, model):
    model_file.save(path, model._replace(config=dataclasses.replace(CONFIG, hidden=(5, 3))))
    message = r"layers.1.biases is float32 \[4\], expected float32 \[3\]"
    with pytest.raises(ValueError, match=message):
        model_file.load(path)
