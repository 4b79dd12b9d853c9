"""Layers: how they are written, what they make of a shape, and their pullbacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.layers import Affine, check, convolution, dense, flatten, max_pool, parse


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ((), []),
        ((30,), ["dense"]),
        (("conv24x5/2", "max2", "30", "10"), ["convolution", "max-pool", "dense", "dense"]),
    ],
)
def test_a_list_of_words_is_a_list_of_layers(words, kinds):
    assert [layer.kind for layer in parse(words)] == kinds


def test_a_convolution_is_3_x_3_with_stride_1_where_nothing_is_said():
    assert parse(["conv7"])[0].shapes((2, 9, 9)) == ((7, 3 * 3 * 2 + 1), (7, 9, 9))
    assert parse(["conv7/2"])[0].shapes((2, 9, 9)) == ((7, 3 * 3 * 2 + 1), (7, 5, 5))
    assert parse(["conv7x5/3"])[0].shapes((2, 9, 8)) == ((7, 5 * 5 * 2 + 1), (7, 3, 3))


@pytest.mark.parametrize("word", ["", "0", "-3", "3.5", "conv", "conv0", "conv5x0", "max", "relu"])
def test_what_is_no_word_is_named_with_the_grammar(word):
    with pytest.raises(ValueError, match=f"{word!r} is not a layer: expected 30 .* conv24x5/2"):
        parse(["30", word])


def test_after_a_dense_layer_there_is_no_image():
    with pytest.raises(ValueError, match="max-pool needs an image, and the layers before it give"):
        check(["conv4", "30", "max2"])


def test_a_pool_that_leaves_nothing_says_so():
    with pytest.raises(ValueError, match="max4: leaves nothing of an image of 3 x 9"):
        max_pool(4).shapes((1, 3, 9))


def test_a_max_pool_worked_out_by_hand():
    # The fifth column is left over; the first window has two greatest pixels, which share.
    a = jnp.array([[[[5.0, 5.0, 1.0, 2.0, 9.0], [0.0, 3.0, 4.0, 0.0, 9.0]]]])
    pool = max_pool(2)
    z, kept, _ = pool.forward((), (), a, None)
    np.testing.assert_array_equal(z, [[[[5.0, 4.0]]]])
    _, back = pool.pullback((), kept, jnp.array([[[[6.0, 7.0]]]]))
    np.testing.assert_array_equal(back, [[[[3, 3, 0, 0, 0], [0, 0, 7, 0, 0]]]])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (dense(3), (4, 5)),
        (flatten(), (2, 5, 3, 4)),
        (max_pool(2), (2, 3, 5, 4)),
        (convolution(3, 3, 2), (2, 2, 5, 4)),
    ],
)
def test_a_pullback_is_that_of_jax_also_at_ties(layer, shape):
    """Whole numbers, so that many pixels are equal."""
    with jax.enable_x64():
        rng = np.random.default_rng(0)
        a = jnp.asarray(rng.integers(0, 3, shape), float)
        noise, _ = layer.shapes((shape[0], *shape[2:]))
        p = ()
        if noise:
            values = rng.normal(size=noise)
            p = Affine(jnp.asarray(values[:, :-1]), jnp.asarray(values[:, -1]))
        z, by_jax = jax.vjp(lambda p, a: layer.forward(p, (), a, None)[0], p, a)
        delta = jnp.asarray(rng.normal(size=z.shape))
        for actual, expected in zip(
            jax.tree.leaves(layer.pullback(p, a, delta)),
            jax.tree.leaves(by_jax(delta)),
            strict=True,
        ):
            np.testing.assert_allclose(actual, expected, atol=1e-13)
