"""The points of a comparison, and their networks and batches."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.comparison.problem import batch_rows, points


def test_every_type_starts_from_the_same_numbers(problem):
    for dtype in ("float32", "bfloat16"):
        params, images, _ = problem.arguments(dtype)
        assert images.dtype == dtype
        np.testing.assert_array_equal(images.astype(jnp.float32), problem.images)
        weights, expected = (layers[1].weights for layers in (params, problem.params))
        np.testing.assert_array_equal(weights.astype(jnp.float32), expected)


def test_a_problem_has_the_name_and_size_of_its_network(problem):
    assert problem.place == ("12-7-4", 6, 12 * 7 + 7 + 7 * 4 + 4)
    assert problem.parameter_names() == ["weights 1", "biases 1", "weights 2", "biases 2"]


def test_networks_and_batches_vary_one_at_a_time_and_come_once(config):
    found = points(config, ["7", "3", "7,7", ""], (60, 6))
    assert found[0] == config
    hidden = [("7",), ("3",), ("7", "7"), (), ("7",)]
    assert [(point.hidden, point.batch_size) for point in found] == [
        *((words, 6) for words in hidden[:4]),
        (("7",), 60),
    ]


@pytest.mark.parametrize(
    ("networks", "batch_sizes", "message"),
    [
        (["0"], (), "0"),
        (["7,many"], (), "many"),
        ([], (61,), "batch_size=61 is larger than train_size=60"),
        ([], (0,), "batch_size=0: must be at least 1"),
    ],
)
def test_what_makes_no_network_or_batch_is_refused(config, networks, batch_sizes, message):
    with pytest.raises(ValueError, match=message):
        points(config, networks, batch_sizes)


def test_every_epoch_uses_every_image_once_in_another_order(config):
    rows = batch_rows(config, 25).reshape(-1)
    first, second = rows[:60], rows[60:120]
    assert sorted(first) == sorted(second) == list(range(60))
    assert list(first) != list(second)
