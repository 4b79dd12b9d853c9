"""Every layer: its pullback is that of JAX in float64, alone and in networks drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from digits_jax import layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.gradients import autodiff, manual
from digits_jax.losses import LOSSES
from digits_jax.models import is_shape, lecun_normal, stack

TANH = layers.activation("tanh", ACTIVATIONS["tanh"])
IMAGE, COLUMNS, BATCH = (4, 7, 5), (6,), 3
# A word, and the shape of an input.
CASES = [
    ("depth3", IMAGE),
    ("depth2/2", IMAGE),
    ("avg2", IMAGE),
    ("mean", IMAGE),
    ("last", IMAGE),
    ("dropout25", IMAGE),
    ("bn", IMAGE),
    ("bn", COLUMNS),
    ("ln", IMAGE),
    ("rms", IMAGE),
    ("patch2x6", IMAGE),
    ("attention2", IMAGE),
    ("rnn5", IMAGE),
    ("gru5", IMAGE),
    ("lstm5", IMAGE),
    ("res(conv4x3,bn,linear)", IMAGE),
    ("res(conv6/2,bn,conv6)", IMAGE),
    ("res(max2)", IMAGE),
    ("res(6,ln,6)", COLUMNS),
    ("res(ln,attention2,res(conv4x1))", IMAGE),
]


def arguments(layer, shape, seed=0):
    """Parameters, state and input, all of them drawn at random."""
    rng = np.random.default_rng(seed)

    def draw(like):
        return jnp.asarray(rng.normal(size=like.shape)) if like.ndim else like

    noise = jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape)),
        layer.shapes(shape)[0],
        is_leaf=is_shape,
    )
    p = jax.tree.map(draw, layer.make(lecun_normal, noise, shape))
    state = jax.tree.map(lambda like: draw(like) ** 2, layer.state(shape))
    return p, state, draw(jnp.zeros((shape[0], BATCH, *shape[1:])))


def relative(actual, expected):
    """The largest relative difference of two trees of arrays, array by array.

    An array whose gradient is 0 in theory, as of a bias before batch norm, holds rounding alone:
    none counts as smaller than a thousandth of the largest.
    """
    norms = [float(jnp.linalg.norm(e)) for e in jax.tree.leaves(expected)]
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), norms, strict=True)
    return max(float(jnp.linalg.norm(a - e)) / max(n, 1e-3 * max(norms)) for a, e, n in pairs)


IN_TRAINING = [(*case, 0) for case in CASES]
# What differs in an evaluation, whose key is None.
EVALUATED = [("bn", IMAGE, None), ("dropout25", IMAGE, None)]


@pytest.mark.parametrize(("word", "shape", "key"), [*IN_TRAINING, *EVALUATED])
def test_a_pullback_is_that_of_jax_for_every_parameter_and_input(word, shape, key):
    placed, _, _ = layers.place(layers.parse([word]), TANH, shape)
    layer = layers.chain(*placed)
    with jax.enable_x64():
        key = key if key is None else jax.random.key(key)
        p, state, a = arguments(layer, shape)

        @jax.jit
        def both(p, a):
            z, by_jax = jax.vjp(lambda p, a: layer.forward(p, state, a, key)[0], p, a)
            delta = jax.random.normal(jax.random.key(9), z.shape, z.dtype)
            out, kept, _ = layer.forward(p, state, a, key)
            return z, out, by_jax(delta), layer.pullback(p, kept, delta)

        z, out, expected, actual = both(p, a)
        assert z.shape == (layer.shapes(shape)[1][0], BATCH, *layer.shapes(shape)[1][1:])
        np.testing.assert_array_equal(out, z)
        assert jax.tree.structure(actual) == jax.tree.structure(expected)
        assert relative(actual, expected) <= 1e-12


WORDS = "conv4 depth3 max2 avg2 bn ln rms dropout25 attention2 gru4 lstm4 rnn4 patch2x4 linear"
RESIDUALS = ["res(conv4,bn)", "res(ln,attention1,linear)", "res(depth3/2,dropout50)"]
IMAGES = st.sampled_from([*WORDS.split(), *RESIDUALS])
COLUMN_WORDS = st.sampled_from(
    ["8", "bn", "ln", "rms", "dropout50", "linear", "res(8,ln)", "res(bn,5)"]
)
STACKS = st.tuples(
    st.lists(IMAGES, max_size=4),
    st.sampled_from(["mean", "last", "6"]),
    st.lists(COLUMN_WORDS, max_size=2),
)


@pytest.mark.slow
@given(words=STACKS, loss=st.sampled_from(sorted(LOSSES)))
@settings(max_examples=12, deadline=None)
def test_manual_is_autodiff_for_any_network_of_any_layers(words, loss):
    before, between, after = words
    words = ("conv4", *before, between, *after)
    recurrences = [n for n, word in enumerate(before) if word in ("gru4", "lstm4", "rnn4")]
    pools = [n for n, word in enumerate(before) if word in ("max2", "avg2")]
    # What a recurrence gives is one pixel wide.
    assume(not recurrences or not pools or max(pools) < min(recurrences))
    model = stack(words, TANH, (16, 16), 3)
    rng = np.random.default_rng(0)
    with jax.enable_x64():
        batch = jnp.asarray(rng.random((5, 16, 16))), jnp.asarray(rng.integers(0, 3, 5))
        params = model.init(jax.random.key(0))
        ways = [make(model, LOSSES[loss]) for make in (autodiff, manual)]
        rest = params, *batch, model.state(), jax.random.key(2)
        (value, expected), (by_hand, actual) = jax.jit(lambda *a: [w(*a) for w in ways])(*rest)
        assert relative(by_hand, value) <= 1e-12
        assert relative(actual, expected) <= 1e-12


def test_running_statistics_come_near_those_of_the_data():
    layer = layers.parse(["bn"])[0]
    a = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 4000))
    p, state = layer.make(None, (), (2,)), layer.state((2,))
    for _ in range(200):
        _, _, state = layer.forward(p, state, a, jax.random.key(0))
    np.testing.assert_allclose(state.mean, a.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(state.variance, a.var(axis=1, ddof=1), rtol=1e-4)
    z, _, after = layer.forward(p, state, a, None)
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=1), 1, rtol=1e-3)
    assert after is state


def test_one_pass_loses_nothing_where_the_mean_is_far_larger_than_the_deviation():
    """At first the running mean is 0; once it is near, float32 gives what float64 gives."""
    layer = layers.parse(["bn"])[0]
    a = np.float32(1000) + np.random.default_rng(0).normal(size=(1, 5000)).astype("f4")
    p, state = layer.make(None, (), (1,)), layer.state((1,))
    for _ in range(150):
        z, _, state = layer.forward(p, state, jnp.asarray(a), jax.random.key(0))
    exact = (a - a.mean(dtype="f8")) / a.std(dtype="f8")
    np.testing.assert_allclose(z, exact, atol=2e-3)


def test_dropout_keeps_the_share_that_it_says_and_the_mean():
    layer = layers.parse(["dropout25"])[0]
    a = jnp.ones((200, 500))
    z, kept, _ = layer.forward((), (), a, jax.random.key(0))
    assert float((z == 0).mean()) == pytest.approx(0.25, abs=0.005)
    assert float(z.mean()) == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(layer.pullback((), kept, a)[1], z)
    assert layer.forward((), (), a, None)[0] is a


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["30", "mean"], "mean needs an image, and the layers before it give columns"),
        (["conv6", "attention4"], "attention4: 6 features do not divide by its heads"),
        (["dropout100"], "dropout100: leaves nothing"),
        (["res(30)"], "res: cannot add an input of"),
        (["res(conv8,no)"], "'no' is not a layer"),
        (["res(conv8"], r"'res\(conv8' is not a layer"),
    ],
)
def test_what_cannot_be_says_so_in_one_line(words, message):
    with pytest.raises(ValueError, match=message) as error:
        layers.check(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("conv8,bn,max2", "convolution batch-norm tanh max-pool flatten dense"),
        ("conv8,linear,bn", "convolution batch-norm flatten dense"),
        ("30,dropout50", "flatten dense tanh dropout dense"),
        ("res(conv1,bn,conv1,bn)", "residual tanh flatten dense"),
        ("res(conv1,linear),mean", "residual mean dense"),
        ("patch2x8,res(ln,attention2),ln", "patches residual layer-norm flatten dense"),
    ],
)
def test_an_activation_follows_a_layer_and_its_normalisation(words, kinds):
    model = stack(words.split(","), TANH, (8, 8), 3)
    assert [layer.kind for layer in model.layers] == kinds.split()
