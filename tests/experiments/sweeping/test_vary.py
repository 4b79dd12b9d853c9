"""The values of what a sweep varies."""

import re

import pytest

from digits_jax import Config
from experiments.sweeping import vary


def test_values_are_parsed_by_the_type_of_their_field():
    varied = vary.parse(
        ["hidden=10,30,128x64,8+6", "epochs=1,2", "activation=relu,tanh", "weight_decay=0,1e-3"],
        seed=0,
    )
    assert varied == {
        "hidden": [("10",), ("30",), ("128", "64"), ("8", "6")],
        "epochs": [1, 2],
        "activation": ["relu", "tanh"],
        "weight_decay": [0.0, 1e-3],
    }


def test_an_x_inside_the_name_of_a_layer_does_not_part_layers():
    (layers,) = vary.parse(["hidden=conv24x5/2+100,12x9"], seed=0).values()
    assert layers == [("conv24x5/2", "100"), ("12", "9")]
    assert list(map(vary.text, layers)) == ["conv24x5/2+100", "12x9"]


def test_drawn_values_lie_in_their_interval_and_repeat():
    (drawn,) = vary.parse(["learning_rate=log:0.01:10:200"], seed=1).values()
    assert len(drawn) == 200
    assert 0.01 <= min(drawn) < 0.02
    assert 5 < max(drawn) <= 10
    assert 80 < sum(value < 10**-0.5 for value in drawn) < 120  # half of them below the middle
    assert drawn == vary.parse(["learning_rate=log:0.01:10:200"], seed=1)["learning_rate"]
    (drawn,) = vary.parse(["momentum=uniform:0.5:0.9:50"], seed=1).values()
    assert len(drawn) == 50
    assert all(0.5 <= value <= 0.9 for value in drawn)


def test_a_grid_is_evenly_spaced():
    varied = vary.parse(["learning_rate=loggrid:0.01:10:4", "momentum=grid:0:1:5"], seed=0)
    assert varied["learning_rate"] == [0.01, 0.1, 1.0, 10.0]
    assert varied["momentum"] == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    "text", ["log:0:1:5", "log:1:0.5:5", "uniform:0:1:0", "log:1:2", "uniform:a:b:c"]
)
def test_an_interval_that_cannot_be(text):
    with pytest.raises(ValueError, match=re.escape(f"vary=learning_rate={text}")):
        vary.parse([f"learning_rate={text}"], seed=0)


def test_drawn_whole_numbers_that_coincide_are_one_value():
    (drawn,) = vary.parse(["batch_size=uniform:1:3:50"], seed=0).values()
    assert drawn == [1, 2]


def test_a_varied_field_may_be_any_but_the_seed():
    assert Config().seed == 0
    with pytest.raises(ValueError, match="vary=seed=1: expected"):
        vary.parse(["seed=1"], seed=0)
