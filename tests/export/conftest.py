"""Networks of every kind of layer, as their runs would leave them."""

import functools
import json

import jax
import numpy as np
import pytest

from digits_jax import Config, TrainedModel, data, export, make_model, save_model
from digits_jax.models import Fitted

# Together: every kind of layer, activation and loss; strides and edges that do not divide.
NETWORKS = {
    "classic": {},
    "tanh": {"hidden": ("conv3x5/2", "max2", "conv4", "9"), "activation": "tanh"},
    "relu": {"hidden": ("conv4x4/3", "max3", "7"), "loss": "cross_entropy", "activation": "relu"},
    "gelu": {"hidden": ("11", "8"), "loss": "cross_entropy", "activation": "gelu"},
    "modern": {
        "hidden": (
            "conv4,bn,avg2,res(conv4,bn,conv6/2,bn),depth3/2,rms,mean,dropout25,8,ln,res(9)",
        ),
        "activation": "relu",
    },
    "sequence": {
        "hidden": ("patch7x8,res(ln,attention2),bn,gru5,lstm6,rnn4,last",),
        "loss": "cross_entropy",
    },
    "normalised": {"hidden": ("conv4/3,bn,max2,9,dropout50",), "loss": "cross_entropy"},
    "silu": {"hidden": ("conv2/2",), "activation": "silu", "init": "standard_normal"},
}


@pytest.fixture(scope="session")
def splits():
    return data.load(train_size=1_000, validation_size=500)


def weights(model, seed):
    """Parameters, and running statistics, that are not where they begin."""
    params, state = model.init(jax.random.key(seed)), model.state()
    if not jax.tree.leaves(state):
        return params
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda leaf: leaf + rng.random(leaf.shape, "f4") / 2, (params, state))
    return Fitted(*moved)


@pytest.fixture(scope="session")
def sources(tmp_path_factory, splits):
    """An untrained network of each kind by name, and the weights not too small to matter."""
    folder = tmp_path_factory.mktemp("networks")
    found = {}
    for seed, (name, settings) in enumerate(NETWORKS.items()):
        config = Config(train_size=1_000, validation_size=500, **settings)
        params = weights(make_model(config, (28, 28), 10), seed)
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
