"""Training by different methods from one start."""

import numpy as np

from digits_jax.config import Config
from digits_jax.layers import Affine
from experiments.comparison import trajectory


def test_distance_is_euclidean_over_all_parameters():
    zero = (Affine(np.zeros((2, 2)), np.zeros(2)), Affine(np.zeros((1, 2)), np.zeros(1)))
    other = (Affine(np.full((2, 2), 2.0), np.zeros(2)), Affine(np.zeros((1, 2)), np.array([3.0])))
    assert trajectory.distance(other, zero) == 5.0


def test_the_marks_and_the_end_of_an_epoch_are_recorded():
    assert {1, 10, 100, 1_000} <= set(trajectory.steps_recorded(Config()))
    short, long = Config(batch_size=30), Config(batch_size=7)
    assert 333 in trajectory.steps_recorded(short)
    assert max(trajectory.steps_recorded(short)) == 1_000
    assert max(trajectory.steps_recorded(long)) == 1_428


def test_in_float64_all_methods_go_the_same_way_and_in_float32_they_drift(problem, splits):
    rows = trajectory.rows(
        problem, splits, ("autodiff", "manual", "numpy"), ("float32", "float64", "bfloat16")
    )
    last = {
        (row.method, row.dtype, row.reference): row.distance for row in rows if row.step == 1_000
    }
    for method in ("manual", "numpy"):
        assert 0 < last[method, "float64", "autodiff float64"] <= trajectory.BOUND
        assert 1e-9 < last[method, "float32", "autodiff float32"] < 1e-3
    assert 1e-9 < last["autodiff", "float32", "autodiff float64"] < 1e-3
    assert last["autodiff", "float64", "autodiff float64"] == 0
    assert len(last) == 6
    assert len({row.test_errors for row in rows}) == 1
