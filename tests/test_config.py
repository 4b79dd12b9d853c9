"""Config: the classic defaults, and one line for every setting that cannot be."""

import dataclasses
import json

import numpy as np
import pytest

from digits_jax import Config, hyperparameters


def test_the_defaults_are_the_classic_run():
    config = Config()
    assert (config.train_size, config.hidden, config.batch_size, config.epochs) == (
        10_000,
        ("30",),
        10,
        30,
    )
    assert (config.activation, config.loss, config.optimizer) == ("sigmoid", "quadratic", "sgd")
    assert config.learning_rate == 3.0
    assert (config.steps_per_epoch, config.total_steps) == (1_000, 30_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_size": 0}, "train_size=0: must be at least 1"),
        ({"hidden": (30, 0)}, "'0' is not a layer: expected 30"),
        ({"hidden": ("30", "3x")}, "'3x' is not a layer"),
        ({"learning_rate": float("nan")}, "learning_rate=nan: must be"),
        ({"learning_rate": float("inf")}, "learning_rate=inf: must be"),
        ({"learning_rate": 1e300}, r"learning_rate=1e\+300: is more than float32 can hold"),
        ({"momentum": 1.5}, "momentum=1.5: .* at most 1.0"),
        ({"seed": 2**32}, "seed=4294967296: .* at most 4294967295"),
        ({"seed": -1}, "seed=-1: must be"),
        ({"activation": "softsign"}, "activation=softsign: choose one of sigmoid, tanh, relu"),
        ({"batch_size": 10_001}, "batch_size=10001 is larger than train_size=10000"),
        (
            {"gradients": "manual", "activation": "silu"},
            "gradients=manual: activation=silu has no .* these have one: sigmoid, tanh, relu, gelu",
        ),
        (
            {"shards": 4},
            "batch_size=10 and train_size=10000 must be multiples of shards=4: "
            "the nearest are batch_size=8 and train_size=10000",
        ),
        ({"shards": 3, "batch_size": 11, "train_size": 1}, "batch_size=11 is larger"),
        ({"shards": 16, "batch_size": 1, "train_size": 100}, "are batch_size=16 and train_size=96"),
        (
            {"train_size": 10**9, "epochs": 22},
            "batch_size=10 and epochs=22 make 2200000000 updates: at most 2147483647",
        ),
        ({"judge": "best", "validation_size": 0}, "needs validation images"),
        ({"patience": 3, "validation_size": 0}, "patience=3: comparing epochs needs validation"),
        ({"optimizer": "rmsprop", "beta1": 0.9}, "rmsprop has no beta1; it takes beta2, epsilon"),
        ({"beta2": 0.9}, "optimizer=sgd has no beta2; it takes none"),
        ({"judge": "average"}, "judge=average needs average > 0"),
        ({"schedule": "warmup_cosine", "epochs": 1}, "warmup_epochs=1 must be less than epochs=1"),
    ],
)
def test_a_setting_that_cannot_be_gives_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        Config(**settings)
    assert "\n" not in str(error.value)


def test_a_config_survives_json():
    config = Config(hidden=(128, 64), data_dir="somewhere", learning_rate=0.1)
    assert Config.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    with pytest.raises(ValueError, match="unknown settings: colour"):
        Config.from_dict({**dataclasses.asdict(config), "colour": "red"})


def test_terms_that_are_off_are_left_out_of_the_program():
    assert hyperparameters(Config()).weight_decay is None
    numbers = hyperparameters(Config(weight_decay=0.1, clip_norm=2.0))
    assert numbers.weight_decay == np.float32(0.1)
    assert numbers.clip_norm == np.float32(2.0)
