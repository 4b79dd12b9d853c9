"""Activations: known values, and derivatives against central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.activations import ACTIVATIONS

DERIVED = sorted(name for name, activation in ACTIVATIONS.items() if activation.derivative)


@pytest.mark.parametrize(
    ("name", "z", "value"),
    [
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", np.log(3.0), 0.75),
        ("tanh", np.log(2.0), 0.6),
        ("relu", -2.0, 0.0),
        ("relu", 2.0, 2.0),
        ("gelu", 1.0, 0.8413447460685429),  # Phi(1), from tables of the normal distribution
        ("gelu", -1.0, -0.15865525393145707),
        ("silu", np.log(3.0), 0.75 * np.log(3.0)),
    ],
)
def test_known_values(name, z, value):
    assert ACTIVATIONS[name].function(jnp.float32(z)) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_are_slopes(name):
    function, derivative = ACTIVATIONS[name]
    with jax.enable_x64():
        z, step = jnp.linspace(-6, 6, 100), 1e-5  # an even count: 0, relu's kink, is not among them
        slopes = (function(z + step) - function(z - step)) / (2 * step)
        np.testing.assert_allclose(derivative(z), slopes, atol=1e-9)


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_far_from_zero_are_finite(name):
    z = jnp.array([-1e4, -100.0, 100.0, 1e4])
    assert jnp.isfinite(ACTIVATIONS[name].derivative(z)).all()


def test_relu_has_no_slope_at_its_kink():
    assert ACTIVATIONS["relu"].derivative(jnp.float32(0)) == 0
    assert jax.grad(ACTIVATIONS["relu"].function)(0.0) == 0
