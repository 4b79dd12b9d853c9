"""The points of the sweeps, and their networks and batches."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.comparison.problem import batch_rows, make_sweeps, points


def test_every_type_starts_from_the_same_numbers(problem):
    for dtype in ("float32", "bfloat16"):
        params, images, _ = problem.arguments(dtype, compiled=True)
        assert images.dtype == dtype
        np.testing.assert_array_equal(images.astype(jnp.float32), problem.images)
        np.testing.assert_array_equal(
            params[0].weights.astype(jnp.float32), problem.params[0].weights
        )


def test_sweeps_vary_one_size_each_and_points_come_once(config):
    sweeps = make_sweeps(config, (7, 3), (2, 1), (60, 6))
    assert [point.hidden for point in sweeps["width"]] == [(3,), (7,)]
    assert [point.hidden for point in sweeps["depth"]] == [(7,), (7, 7)]
    assert [point.batch_size for point in sweeps["batch"]] == [6, 60]
    assert len(points(config, sweeps)) == 4


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (((0,), (), ()), "hidden_sizes=0: must be at least 1"),
        (((), (-1,), ()), "depths=-1: must be at least 1"),
        (((), (), (61,)), "batch_size=61 is larger than train_size=60"),
    ],
)
def test_sizes_that_make_no_network_are_refused(config, sizes, message):
    with pytest.raises(ValueError, match=message):
        make_sweeps(config, *sizes)


def test_every_epoch_uses_every_image_once_in_another_order(config):
    rows = batch_rows(config, 25).reshape(-1)
    first, second = rows[:60], rows[60:120]
    assert sorted(first) == sorted(second) == list(range(60))
    assert list(first) != list(second)
