"""Classic mistakes: what they do to the gradient, and that the gradient check finds each."""

import jax
import numpy as np
import pytest

from digits_jax.activations import ACTIVATIONS
from digits_jax.gradients import make_mean_loss, manual
from digits_jax.losses import LOSSES
from experiments.comparison import faults
from experiments.comparison.faults import FAULTS, NONE, TOLERANCE, faulty, gradient_check

SIGMOID, QUADRATIC = ACTIVATIONS["sigmoid"], LOSSES["quadratic"]


def gradient(problem, value_and_grad):
    return jax.tree.map(
        np.asarray, jax.jit(value_and_grad)(*problem.arguments("float32", compiled=True))[1]
    )


def check(problem, fault):
    mean_loss = jax.jit(make_mean_loss(problem.model, QUADRATIC))
    return gradient_check(problem, mean_loss, faulty(SIGMOID, QUADRATIC, fault))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_gradient_check_catches_every_mistake(problem, fault):
    assert max(check(problem, fault).values()) > 1e-2


def test_the_gradient_check_passes_the_right_gradient(problem):
    assert max(check(problem, NONE).values()) < TOLERANCE / 10


def test_without_a_mistake_the_copy_is_manual(problem):
    expected = gradient(problem, manual(SIGMOID, QUADRATIC))
    jax.tree.map(
        np.testing.assert_array_equal,
        gradient(problem, faulty(SIGMOID, QUADRATIC, NONE)),
        expected,
    )


def test_mistakes_are_what_they_are_called(problem):
    right = gradient(problem, manual(SIGMOID, QUADRATIC))
    wrong = {fault: gradient(problem, faulty(SIGMOID, QUADRATIC, fault)) for fault in FAULTS}
    np.testing.assert_allclose(wrong["batch_mean"][0].weights, 6 * right[0].weights, rtol=1e-5)
    assert not wrong["off_by_one"][0].weights.any()
    for fault in ("off_by_one", "transposed_weights", "activation_derivative"):
        np.testing.assert_array_equal(wrong[fault][1].weights, right[1].weights)
    np.testing.assert_array_equal(wrong["bias_sum"][0].weights, right[0].weights)
    assert (wrong["bias_sum"][1].biases != right[1].biases).all()


def test_an_activation_without_a_derivative_has_no_faulty_gradient_either():
    with pytest.raises(ValueError, match="no derivative written by hand"):
        faulty(ACTIVATIONS["silu"], QUADRATIC, NONE)


def test_training_shows_what_the_other_checks_say(problem, splits):
    rows, curves = faults.rows(problem, splits, ("off_by_one",), epochs=20, seeds=2)
    right, wrong = rows
    assert (right.fault, wrong.fault) == (NONE, "off_by_one")
    assert not right.caught_by_gradient_check
    assert not right.caught_by_loss_curve
    assert not right.caught_by_accuracy
    assert wrong.caught_by_gradient_check
    assert right.accuracy > 0.9
    assert [curve.step for curve in curves] == [50, 100, 150, 200] * 2
