"""Networks of every kind of layer, as their runs would leave them."""

import functools
import json

import jax
import pytest

from digits_jax import Config, TrainedModel, data, export, make_model, save_model

# Together: every kind of layer, activation and loss; strides and edges that do not divide.
NETWORKS = {
    "classic": {},
    "tanh": {"hidden": ("conv3x5/2", "max2", "conv4", "9"), "activation": "tanh"},
    "relu": {"hidden": ("conv4x4/3", "max3", "7"), "loss": "cross_entropy", "activation": "relu"},
    "gelu": {"hidden": ("11", "8"), "loss": "cross_entropy", "activation": "gelu"},
    "silu": {"hidden": ("conv2/2",), "activation": "silu", "init": "standard_normal"},
}


@pytest.fixture(scope="session")
def splits():
    return data.load(train_size=1_000, validation_size=500)


@pytest.fixture(scope="session")
def sources(tmp_path_factory, splits):
    """An untrained network of each kind by name, and the weights not too small to matter."""
    folder = tmp_path_factory.mktemp("networks")
    found = {}
    for seed, (name, settings) in enumerate(NETWORKS.items()):
        config = Config(train_size=1_000, validation_size=500, **settings)
        params = make_model(config, (28, 28), 10).init(jax.random.key(seed))
        (folder / name).mkdir()
        path = folder / name / "model.safetensors"
        save_model(path, TrainedModel(params, config, (28, 28), 10))
        (folder / name / "summary.json").write_text(json.dumps({"test_accuracy": 0.1}))
        found[name] = export.read(folder / name)
    return found


@pytest.fixture(scope="session")
def open_page(open_page):
    """Opens HTML in a real browser, once it says that it is ready."""
    return functools.partial(open_page, ready="body[data-ready]")
