"""Forwards of layers, and gradients, as PyTorch computes them from the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import layers
from digits_jax.models import is_shape, lecun_normal

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
RNG = np.random.default_rng(0)
C, B, H, W = 6, 3, 5, 4


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64():
        yield


def fill(module, arrays):
    """Gives a module of PyTorch its parameters by name; those that are not named are 0."""
    module = module.double()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(np.array(arrays.get(name, np.zeros(parameter.shape)))))
    return module


def made(word, shape):
    """A layer of this word, with its parameters moved away from where they begin."""
    layer = layers.parse([word])[0]
    noise = jax.tree.map(
        lambda shape: jnp.asarray(RNG.normal(size=shape)),
        layer.shapes(shape)[0],
        is_leaf=is_shape,
    )
    p = layer.make(lecun_normal, noise, shape)
    return layer, jax.tree.map(lambda leaf: leaf + 0.3 * RNG.normal(size=leaf.shape), p)


def compare(layer, p, a, module, to_torch, from_torch):
    """Outputs, and dC/da of both, of a loss that weighs each output by a number of its own."""
    delta = RNG.normal(size=(layer.shapes((C, H, W))[1][0], B, *layer.shapes((C, H, W))[1][1:]))

    @jax.jit
    def ours(p, a, delta):
        z, kept, after = layer.forward(p, layer.state(a.shape[:1]), a, jax.random.key(0))
        return z, layer.pullback(p, kept, delta)[1], after

    z, back, after = ours(p, a, jnp.asarray(delta))
    x = torch.tensor(np.array(a), requires_grad=True)
    out = from_torch(module(to_torch(x)))
    np.testing.assert_allclose(z, out.detach().numpy(), rtol=1e-10, atol=1e-11)
    (out * torch.tensor(delta)).sum().backward()
    np.testing.assert_allclose(back, x.grad.numpy(), rtol=1e-9, atol=1e-11)
    return after


def test_batch_norm_and_its_running_statistics():
    layer, p = made("bn", (C, H, W))
    a = jnp.asarray(2 + RNG.normal(size=(C, B, H, W)))
    module = fill(torch.nn.BatchNorm2d(C), {"weight": p.scale, "bias": p.shift})
    after = compare(layer, p, a, module, lambda x: x.swapaxes(0, 1), lambda z: z.swapaxes(0, 1))
    np.testing.assert_allclose(after.mean, module.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(after.variance, module.running_var.numpy(), rtol=1e-12)


def test_layer_norm():
    layer, p = made("ln", (C, H, W))
    a = jnp.asarray(RNG.normal(size=(C, B, H, W)))
    module = fill(torch.nn.LayerNorm(C), {"weight": p.scale, "bias": p.shift})
    compare(layer, p, a, module, lambda x: x.movedim(0, -1), lambda z: z.movedim(-1, 0))


@pytest.mark.parametrize("heads", [1, 3])
def test_attention(heads):
    layer, p = made(f"attention{heads}", (C, H, W))
    a = jnp.asarray(RNG.normal(size=(C, B, H, W)))
    arrays = {
        "in_proj_weight": p.inputs.weights,
        "in_proj_bias": p.inputs.biases,
        "out_proj.weight": p.output.weights,
        "out_proj.bias": p.output.biases,
    }
    module = fill(torch.nn.MultiheadAttention(C, heads, batch_first=True), arrays)

    def attend(x):
        tokens = x.flatten(2).permute(1, 2, 0)
        return module(tokens, tokens, tokens)[0]

    compare(layer, p, a, attend, lambda x: x, lambda z: z.permute(2, 0, 1).reshape(C, B, H, W))


@pytest.mark.parametrize(("word", "make"), [("rnn7", "RNN"), ("gru7", "GRU"), ("lstm7", "LSTM")])
def test_recurrence(word, make):
    layer, p = made(word, (C, H, W))
    a = jnp.asarray(RNG.normal(size=(C, B, H, W)))
    arrays = {"weight_ih_l0": p.weights, "weight_hh_l0": p.recurrent, "bias_ih_l0": p.biases}
    module = fill(getattr(torch.nn, make)(C * W, 7), arrays)

    def rows(x):
        return x.permute(2, 1, 0, 3).reshape(H, B, C * W)

    compare(layer, p, a, module, rows, lambda z: z[0].permute(2, 1, 0)[..., None])
