"""Every way to a gradient, and what is left out."""

import dataclasses
import time

import pytest

from experiments.comparison import cost, exactness
from experiments.comparison.methods import DTYPES, METHODS, make_trials, measure
from experiments.comparison.problem import make_problem

# Largest relative difference from autodiff in float64; central differences are only approximate.
TOLERANCES = {"float64": 1e-14, "float32": 1e-5, "bfloat16": 0.1}
DIFFERENCES = 1e-7


@pytest.fixture(scope="module")
def trials(problem):
    return make_trials(problem, tuple(METHODS), DTYPES, seconds=0.0, limit=60.0)


def test_every_method_agrees_with_autodiff(problem, trials):
    rows = exactness.rows(problem, trials)
    ran = {(row.method, row.dtype) for row in rows if row.absolute is not None}
    assert ran == {(name, d) for name, method in METHODS.items() for d in method.dtypes}
    for row in rows:
        if row.relative is not None:
            approximate = row.method == "finite_differences"
            assert row.relative <= (DIFFERENCES if approximate else TOLERANCES[row.dtype]), row
            if (row.method, row.dtype) == ("autodiff", "float64"):
                assert row.relative == 0
            elif row.dtype != "float64":
                assert row.absolute > 0, row


def test_a_method_in_a_type_that_it_does_not_know_is_left_out_with_a_note(trials):
    notes = {(trial.method, trial.dtype): trial.note for trial in trials}
    assert notes["numpy", "bfloat16"] == "runs in float32 and float64 only"
    assert notes["finite_differences", "float32"] == "runs in float64 only"
    assert notes["forward_mode", "float32"] == ""


def test_what_would_take_too_long_is_left_out_with_the_number_of_passes(problem):
    trials = make_trials(problem, tuple(METHODS), ("float64",), seconds=0.0, limit=0.0)
    notes = {trial.method: trial.note for trial in trials}
    assert problem.parameters == 12 * 7 + 7 + 7 * 4 + 4
    assert notes["forward_mode"].startswith("left out: 123 forward passes")
    assert notes["finite_differences"].startswith("left out: 246 forward passes")
    assert notes["autodiff"] == notes["manual"] == notes["numpy"] == ""
    for row in cost.rows(trials, ("float64",), seconds=0.0):
        assert (row.gradient_seconds is None) == bool(row.note)
        assert row.note or row.gradient_ratio == row.gradient_seconds / row.forward_seconds


def test_what_nobody_derived_is_left_out_with_a_note(config, splits):
    problem = make_problem(dataclasses.replace(config, activation="silu"), splits)
    trials = make_trials(problem, ("autodiff", "manual", "numpy"), ("float32",), 0.0, 60.0)
    assert [trial.note for trial in trials] == [
        "",
        *["left out: no derivative of silu written by hand"] * 2,
    ]


def test_measure_takes_the_median_after_a_first_call():
    pauses = iter([0.2, 0.03, 0.001, 0.02])
    timing = measure(lambda: time.sleep(next(pauses)), seconds=0.01)
    assert timing.n == 3
    assert 0.02 <= timing.median < 0.03


def test_measure_stops_early_where_a_call_is_slow():
    timing = measure(lambda: time.sleep(0.05), seconds=0.001)
    assert timing.n == 1
