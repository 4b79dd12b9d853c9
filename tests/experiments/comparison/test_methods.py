"""Every way to a gradient, what is left out, and updates by each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.config import Config, hyperparameters
from digits_jax.optimizers import OPTIMIZERS
from experiments.comparison import cost, exactness
from experiments.comparison.methods import (
    DTYPES,
    METHODS,
    can_train,
    make_trials,
    precision,
    training_step,
)
from experiments.comparison.problem import make_problem

# Largest relative difference from autodiff in float64; central differences are only approximate.
TOLERANCES = {"float64": 1e-14, "float32": 1e-5, "bfloat16": 0.1}
DIFFERENCES = 1e-7


@pytest.fixture(scope="module")
def trials(problem):
    return make_trials(problem, tuple(METHODS), DTYPES, limit=60.0)


def test_every_method_agrees_with_autodiff(problem, trials):
    rows = exactness.rows(problem, trials[0])
    ran = {(row.method, row.dtype) for row in rows}
    assert ran == {(name, d) for name, method in METHODS.items() for d in method.dtypes}
    assert {row.array for row in rows} <= {"weights 1", "biases 1", "weights 2", "biases 2"}
    for row in rows:
        approximate = row.method == "finite_differences"
        assert row.relative <= (DIFFERENCES if approximate else TOLERANCES[row.dtype]), row
        if (row.method, row.dtype) == ("autodiff", "float64"):
            assert row.relative == 0
        elif row.dtype != "float64":
            assert row.absolute > 0, row


def test_a_method_in_a_type_that_it_does_not_know_is_left_out_with_a_reason(trials):
    reasons = {(row.method, row.dtype): row.reason for row in trials[1]}
    assert reasons == {
        ("numpy", "bfloat16"): "runs in float32 and float64 only",
        ("numpy_loops", "bfloat16"): "runs in float32 and float64 only",
        ("finite_differences", "float32"): "runs in float64 only",
        ("finite_differences", "bfloat16"): "runs in float64 only",
    }


def test_what_would_take_too_long_is_left_out_with_the_number_of_passes(problem):
    trials, left_out = make_trials(problem, tuple(METHODS), ("float64",), limit=0.0)
    assert problem.place.parameters == 12 * 7 + 7 + 7 * 4 + 4
    forward, central = left_out
    assert forward.reason.startswith("123 forward passes")
    assert central.reason.startswith("246 forward passes")
    rows = {(row.method, row.what): row for row in cost.rows(problem, trials, ("float64",), 0.0)}
    assert len(rows) == 1 + 2 * 4
    for row in rows.values():
        assert row.fastest <= row.seconds <= row.slowest
        assert row.ratio == row.seconds / rows[cost.FORWARD, cost.FORWARD].seconds


def test_what_nobody_derived_is_left_out_with_a_reason(config, splits):
    problem = make_problem(dataclasses.replace(config, activation="silu"), splits)
    trials, left_out = make_trials(problem, ("autodiff", "manual", "numpy"), ("float32",), 60.0)
    assert trials.keys() == {("autodiff", "float32")}
    reasons = {"no derivative of silu written by hand", "NumPy has no silu"}
    assert {row.reason for row in left_out} == reasons
    smoothed = make_problem(dataclasses.replace(config, label_smoothing=0.1), splits)
    _, (numpy,) = make_trials(smoothed, ("manual", "numpy"), ("float32",), 60.0)
    assert numpy.reason == "NumPy has no label smoothing"


def test_updates_in_numpy_are_those_of_the_library(problem):
    def updated(name):
        method = METHODS[name]
        step, arguments = training_step(
            problem, method.make(problem), "float64", compiled=method.compiled
        )
        step = jax.jit(step) if method.compiled else step
        with precision("float64"):
            return jax.tree.leaves(step(*arguments)[0].params)

    for expected, actual in zip(updated("manual"), updated("numpy"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
    assert can_train("numpy", Config())
    assert not can_train("numpy", Config(optimizer="adam"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_starts_with_a_whole_optimizer_in_the_type_of_the_parameters(
    config, splits, optimizer
):
    problem = make_problem(dataclasses.replace(config, optimizer=optimizer), splits)
    gradient = METHODS["autodiff"].make(problem)
    _, (numbers, state, _) = training_step(problem, gradient, "float64")
    leaves = jax.tree.leaves(state.opt_state)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert all(leaf.dtype == "float64" for leaf in leaves if leaf.ndim)
    assert jax.tree.map(jnp.shape, numbers) == jax.tree.map(
        jnp.shape, hyperparameters(problem.config)
    )
