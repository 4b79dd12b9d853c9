"""Classic mistakes: what each does to the gradient, and where there is no place for it."""

import dataclasses

import jax
import numpy as np
import pytest

from digits_jax.gradients import manual
from experiments.comparison.faults import FAULTS, NONE, mistaken
from experiments.comparison.problem import make_problem


def affine_gradients(problem, value_and_grad):
    """Weights and biases of the gradient, layer by layer."""
    gradient = jax.jit(value_and_grad)(*problem.arguments("float32"))[1]
    return [jax.tree.map(np.asarray, layer) for layer in gradient if layer]


def test_mistakes_are_what_they_are_called(problem):
    gradients = mistaken(problem, FAULTS)
    of_images = {"kernel_not_flipped", "stride", "padding", "pooling"}
    assert gradients.keys() == FAULTS.keys() - of_images
    found = {fault: affine_gradients(problem, g) for fault, g in gradients.items()}
    right = affine_gradients(problem, manual(problem.model, problem.loss))
    jax.tree.map(np.testing.assert_array_equal, found[NONE], right)
    np.testing.assert_allclose(found["batch_mean"][0].weights, 6 * right[0].weights, rtol=1e-5)
    assert not found["off_by_one"][0].weights.any()
    for fault in ("off_by_one", "transposed_weights", "activation_derivative"):
        np.testing.assert_array_equal(found[fault][1].weights, right[1].weights)
        assert (found[fault][0].weights != right[0].weights).any()
    np.testing.assert_array_equal(found["bias_sum"][0].weights, right[0].weights)
    assert (found["bias_sum"][1].biases != right[1].biases).all()


def test_a_mistake_without_a_place_in_the_network_is_left_out(config, splits):
    without_hidden_layers = make_problem(dataclasses.replace(config, hidden=()), splits)
    assert "activation_derivative" not in mistaken(without_hidden_layers, FAULTS)
    assert "bias_sum" in mistaken(without_hidden_layers, FAULTS)


def test_an_activation_without_a_derivative_has_no_faulty_gradient_either(config, splits):
    with pytest.raises(ValueError, match="no derivative written by hand"):
        mistaken(make_problem(dataclasses.replace(config, activation="silu"), splits), [])
