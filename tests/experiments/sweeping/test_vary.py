"""The values of what a sweep varies."""

import re

import numpy as np
import pytest

from experiments.sweeping import vary


def values(name, *texts, seed=0, **settings):
    """The values of a field, in the order of the settings."""
    found = vary.parse([f"{name}={text}" for text in texts], seed=seed, **settings)
    return [setting[name] for setting in found.settings]


def test_values_are_parsed_by_the_type_of_their_field():
    assert values("hidden", "10,30,128x64,8+6") == [("10",), ("30",), ("128", "64"), ("8", "6")]
    assert values("epochs", "1,2") == [1, 2]
    assert values("activation", "relu,tanh") == ["relu", "tanh"]
    assert values("weight_decay", "0,1e-3") == [0.0, 1e-3]
    varied = vary.parse(["epochs=1,2", "activation=relu,tanh"], seed=0)
    assert varied.names == ("epochs", "activation")
    assert varied.settings[1] == {"epochs": 1, "activation": "tanh"}
    assert len(varied.settings) == 4
    assert vary.parse([], seed=0).settings == [{}]


def test_after_semicolons_hidden_takes_what_its_flag_takes():
    assert values("hidden", "30;128,64;conv2x3/2,max2,30") == [
        ("30",),
        ("128", "64"),
        ("conv2x3/2", "max2", "30"),
    ]


def test_an_x_inside_the_name_of_a_layer_does_not_part_layers():
    layers = values("hidden", "conv24x5/2+100,12x9")
    assert layers == [("conv24x5/2", "100"), ("12", "9")]
    assert list(map(vary.text, layers)) == ["conv24x5/2+100", "12x9"]


@pytest.mark.parametrize("count", [8, 9, 20, 200])
def test_drawn_values_leave_no_gap_and_repeat(count):
    drawn = values("learning_rate", f"lograndom:0.001:1:{count}", seed=1)
    assert len(drawn) == count
    # As many parts of the range as the largest power of two: each has one, or two.
    parts = 2 ** int(np.log2(count))
    counts, _ = np.histogram(np.log10(drawn), np.linspace(-3.001, 0.001, parts + 1))
    assert counts.min() >= (1 if parts <= 16 else 0)
    assert counts.max() <= 3
    assert drawn == values("learning_rate", f"log:0.001:1:{count}", seed=1)
    assert drawn != values("learning_rate", f"log:0.001:1:{count}", seed=2)
    even = values("momentum", f"random:0.5:0.9:{count}", seed=1)
    assert sum(value < 0.7 for value in even) == pytest.approx(count / 2, abs=1)


def test_a_grid_is_evenly_spaced():
    assert values("learning_rate", "loggrid:0.01:10:4") == [0.01, 0.1, 1.0, 10.0]
    assert values("momentum", "grid:0:1:5") == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_range_may_belong_to_one_value_of_another_field():
    varied = vary.parse(
        [
            "optimizer=sgd,adam,lion",
            "learning_rate@sgd=loggrid:0.1:10:3",
            "learning_rate@adam=0.001,0.01",
            "batch_size=5,10",
        ],
        seed=0,
    )
    assert varied.names == ("optimizer", "batch_size", "learning_rate")
    assert varied.tuned == ("learning_rate",)
    rates = {}
    for setting in varied.settings:
        rates.setdefault(setting["optimizer"], []).append(setting.get("learning_rate"))
    assert rates == {
        "sgd": [0.1, 1.0, 10.0] * 2,
        "adam": [0.001, 0.01] * 2,
        "lion": [None] * 2,  # as the other flags say
    }
    general = vary.parse(["optimizer=sgd,adam", "momentum=0.1,0.2", "momentum@adam=0.3"], seed=0)
    pairs = [tuple(setting.values()) for setting in general.settings]
    assert pairs == [("sgd", 0.1), ("sgd", 0.2), ("adam", 0.3)]


def test_ranges_and_what_is_named_are_tuned_and_lists_are_compared():
    texts = ["optimizer=sgd,adam", "learning_rate=0.1,1", "momentum=grid:0:0.9:3"]
    assert vary.parse(texts, seed=0).tuned == ("momentum",)
    assert vary.parse(texts, seed=0, tune=["learning_rate"]).tuned == ("learning_rate", "momentum")
    with pytest.raises(ValueError, match="tune=epochs: it is not varied: add its values"):
        vary.parse(texts, seed=0, tune=["epochs"])


@pytest.mark.parametrize(
    "text", ["log:0:1:5", "log:1:0.5:5", "uniform:0:1:0", "lograndom:1:2", "random:a:b:c"]
)
def test_an_interval_that_cannot_be(text):
    with pytest.raises(ValueError, match=re.escape(f"vary=learning_rate={text}")):
        vary.parse([f"learning_rate={text}"], seed=0)


def test_drawn_whole_numbers_that_coincide_are_one_value():
    assert values("batch_size", "random:1:3:50") == [1, 2]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["seed=1"], "vary=seed=1: expected"),
        (["hidden=3", "hidden=4"], "hidden is varied twice"),
        (["optimizer=sgd", "learning_rate@adam=1,2"], "no varied field has the value adam"),
    ],
)
def test_what_cannot_be_varied(texts, message):
    with pytest.raises(ValueError, match=message):
        vary.parse(texts, seed=0)
