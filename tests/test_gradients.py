"""Gradients: against back-propagation in NumPy, central differences, and each other."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits_jax.activations import ACTIVATIONS
from digits_jax.gradients import autodiff, finite_differences, forward_mode, manual
from digits_jax.layers import Affine
from digits_jax.layers import activation as activation_layer
from digits_jax.losses import LOSSES
from digits_jax.models import stack
from experiments.peers import numpy_backprop

DERIVED = sorted(name for name, activation in ACTIVATIONS.items() if activation.derivative)


@st.composite
def problems(draw):
    """A random network and batch: image shape, layer sizes, activation, loss, seed, batch size."""
    hidden = draw(st.lists(st.integers(1, 40), max_size=4))
    height, width, classes = draw(
        st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(2, 12))
    )
    activation, loss = draw(st.sampled_from(DERIVED)), draw(st.sampled_from(sorted(LOSSES)))
    seed, batch = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 20))
    return (height, width), (height * width, *hidden, classes), activation, loss, seed, batch


def draw_problem(image_shape, sizes, seed, batch):
    """Parameters with non-zero biases, images in [0, 1] and labels: NumPy arrays in float64."""
    rng = np.random.default_rng(seed)
    params = [
        (rng.normal(size=(outputs, inputs)) / np.sqrt(inputs), rng.normal(size=outputs))
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    return params, rng.random((batch, *image_shape)), rng.integers(0, sizes[-1], batch)


def network(sizes, activation, image_shape):
    """A multi-layer perceptron for images of `image_shape`."""
    layer = activation_layer(activation, ACTIVATIONS[activation])
    return stack(sizes[1:-1], layer, image_shape, sizes[-1])


def as_jax(params, images, labels, dtype):
    layers = [((), Affine(jnp.asarray(w, dtype), jnp.asarray(b, dtype))) for w, b in params]
    return (
        tuple(itertools.chain(*layers)),
        jnp.asarray(images, dtype),
        jnp.asarray(labels, jnp.int32),
    )


def relative_error(actual, expected, per_image):
    """Largest distance of two arrays, relative to the mean length of what they are a mean of.

    The images' gradients may cancel in their mean, but its rounding error is of their size.
    """
    scales = [
        np.mean([np.linalg.norm(gradient) for gradient in np.asarray(leaf)])
        for leaf in jax.tree.leaves(per_image)
    ]
    distances = [
        np.linalg.norm(np.subtract(a, e))
        for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    ]
    return max(
        distance / max(scale, 1e-30) for distance, scale in zip(distances, scales, strict=True)
    )


def loss_and_gradient(result):
    (loss, _), gradient = result
    return loss, gradient


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def both_gradients(sizes, activation, loss, params, images, labels):
    return both_of(
        network(sizes, activation, images.shape[1:]), LOSSES[loss], params, images, labels
    )


def both_of(model, loss, params, images, labels):
    """By autodiff and by hand; and by autodiff of each image alone."""
    by_autodiff, by_hand = autodiff(model, loss), manual(model, loss)
    per_image = jax.vmap(lambda image, label: by_autodiff(params, image[None], label[None]))
    return (
        loss_and_gradient(by_autodiff(params, images, labels)),
        loss_and_gradient(by_hand(params, images, labels)),
        loss_and_gradient(per_image(images, labels)),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
@given(problem=problems())
@settings(max_examples=6, deadline=None)
def test_manual_equals_autodiff(dtype, tolerance, problem):
    image_shape, sizes, activation, loss, seed, batch = problem
    with jax.enable_x64(dtype == "float64"):
        arguments = as_jax(*draw_problem(image_shape, sizes, seed, batch), dtype)
        by_autodiff, by_hand, per_image = both_gradients(sizes, activation, loss, *arguments)
        assert jax.tree.leaves(by_hand)[0].dtype == dtype
        assert relative_error(by_hand, by_autodiff, per_image) <= tolerance


@st.composite
def stacks(draw):
    """A random network that sees space: its words, activation and loss, and an image shape."""
    convolutions = st.builds(
        "conv{}x{}/{}".format, st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)
    )
    words = draw(st.lists(convolutions, min_size=1, max_size=2))
    pooled = draw(st.sampled_from([[], ["max2"]]))
    dense = draw(st.lists(st.integers(1, 9), max_size=1))
    shape = draw(st.tuples(st.integers(18, 20), st.integers(18, 20)))  # 2 x 2 at the least
    activation, loss = draw(st.sampled_from(DERIVED)), draw(st.sampled_from(sorted(LOSSES)))
    return (*words, *pooled, *dense), shape, activation, loss


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param("float32", 1e-6, marks=pytest.mark.slow), ("float64", 1e-12)],
)
@given(stack_of=stacks())
@settings(max_examples=3, deadline=None)
def test_manual_equals_autodiff_for_any_stack_of_layers(dtype, tolerance, stack_of):
    words, shape, activation, loss = stack_of
    model = stack(words, activation_layer(activation, ACTIVATIONS[activation]), shape, 4)
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == "float64"):
        images = jnp.asarray(rng.random((6, *shape)), dtype)
        labels = jnp.asarray(rng.integers(0, 4, 6), jnp.int32)
        params = jax.tree.map(lambda p: p.astype(dtype), model.init(jax.random.key(0)))
        by_autodiff, by_hand, per_image = jax.jit(both_of, static_argnums=(0, 1))(
            model, LOSSES[loss], params, images, labels
        )
        assert relative_error(by_hand, by_autodiff, per_image) <= tolerance


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", DERIVED)
def test_both_equal_back_propagation_in_numpy(activation, loss):
    sizes = (12, 7, 5, 4)
    params, images, labels = draw_problem((3, 4), sizes, seed=1, batch=6)
    expected = numpy_backprop.value_and_grad(params, images, labels, activation, loss)
    with jax.enable_x64():
        arguments = as_jax(params, images, labels, "float64")
        *both, per_image = both_gradients(sizes, activation, loss, *arguments)
        for actual in both:
            assert relative_error(actual, expected, per_image) <= 1e-14


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_autodiff_equals_central_differences(activation, loss):
    sizes, step = (4, 3, 3, 2), 1e-5
    with jax.enable_x64():
        arguments = as_jax(*draw_problem((2, 2), sizes, seed=2, batch=5), "float64")
        value_and_grad = jax.jit(autodiff(network(sizes, activation, (2, 2)), LOSSES[loss]))
        flat, unflatten = jax.flatten_util.ravel_pytree(arguments[0])
        _, gradient = value_and_grad(*arguments)

        def value(parameters):
            return value_and_grad(unflatten(parameters), *arguments[1:])[0][0]

        directions = jnp.eye(flat.size)
        differences = [(value(flat + step * d) - value(flat - step * d)) / 2 for d in directions]
        expected = jnp.stack(differences) / step
        actual, _ = jax.flatten_util.ravel_pytree(gradient)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)


def test_an_activation_without_a_derivative_has_no_manual_gradient():
    with pytest.raises(ValueError, match="no derivative written by hand"):
        manual(network((4, 3, 2), "silu", (2, 2)), LOSSES["quadratic"])


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_forward_mode_and_finite_differences_equal_reverse_mode(chunk, loss):
    """Also where chunks do not come out even, and where one is larger than the network."""
    sizes = (4, 3, 2)
    with jax.enable_x64():
        arguments = as_jax(*draw_problem((2, 2), sizes, seed=3, batch=5), "float64")
        model = network(sizes, "tanh", (2, 2))
        (value, _), expected = autodiff(model, LOSSES[loss])(*arguments)
        for method, tolerance in ((forward_mode, 1e-15), (finite_differences, 1e-9)):
            (actual_value, _), actual = jax.jit(method(model, LOSSES[loss], chunk))(*arguments)
            assert float(actual_value) == pytest.approx(float(value), rel=1e-15)
            for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, e, rtol=0, atol=tolerance)


def test_the_error_of_finite_differences_is_of_second_order():
    sizes = (4, 3, 2)
    with jax.enable_x64():
        arguments = as_jax(*draw_problem((2, 2), sizes, seed=4, batch=5), "float64")
        model = network(sizes, "tanh", (2, 2))
        exact = autodiff(model, LOSSES["quadratic"])(*arguments)[1]
        error = {
            step: np.linalg.norm(
                finite_differences(model, LOSSES["quadratic"], step=step)(*arguments)[1][1].weights
                - exact[1].weights
            )
            for step in (0.02, 0.01)
        }
    assert error[0.02] / error[0.01] == pytest.approx(4, rel=0.01)
