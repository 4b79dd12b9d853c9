"""Checks of one entry: a layer's pullback, the derivative of an activation or of a loss."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.activations import Activation
from digits_jax.checking.explanations import Pair, computed, explained, explained_loss
from digits_jax.checking.findings import (
    NOTHING_YET,
    TOLERANCE,
    Checked,
    Finding,
    NothingYet,
    close,
    difference,
    equation,
    failed,
    leaves,
    side_by_side,
    structure,
    symbol,
    wrong_shape,
)
from digits_jax.checking.mistakes import right_derivative
from digits_jax.checking.transformations import Call
from digits_jax.checking.witnesses import (
    agrees_with_differences,
    by_differences,
    is_subgradient,
    reverse_mode,
)
from digits_jax.layers import Affine, Layer, Shape, activation
from digits_jax.losses import Loss

# Input shapes by the axes that a layer takes; for each of them a batch size, and whether the input
# has many equal elements.
SHAPES: dict[int, list[Shape]] = {1: [(7,), (1,), (6,)], 3: [(6, 3, 5), (1, 4, 4), (3, 6, 5)]}
BATCHES = ((5, False), (1, False), (3, True))


def check_layer(layer: Layer, shape: Shape | None = None, seed: int = 0) -> Checked:
    """Checks a layer's pullback by itself: dC/dp and dC/da beside reverse mode of its forward.

    Args:
        layer: the layer.
        shape: of one input, without the batch; by default, small ones that the layer accepts.
        seed: of parameters, inputs and delta.
    """
    if layer.pullback is None:
        return Checked(layer.kind, (), ("no pullback by hand: left to jax.grad, not checked",))
    pairs: dict[str, list[Pair]] = {}
    ties: dict[str, list[Pair]] = {}
    with jax.enable_x64(True):
        for call, tied in calls(layer, shape, seed):
            try:
                grads, back = computed(_pulled, call)
            except NothingYet:
                return failed(layer.kind, NOTHING_YET)
            except Exception as error:
                return failed(layer.kind, f"the pullback raises {type(error).__name__}: {error}")
            if problem := structure(call.p, grads):
                return failed(layer.kind, problem)
            right, to_input = reverse_mode(call)
            every = leaves(grads) | {"a": back}, leaves(right) | {"a": to_input}
            for array, theirs in every[1].items():
                (ties if tied else pairs).setdefault(array, []).append(
                    (call, every[0][array], theirs)
                )
        if not pairs:
            return Checked(layer.kind, (), ("no small input shape suits it: give one",))
        findings = [_finding(array, found, ties.get(array, [])) for array, found in pairs.items()]
    return Checked(layer.kind, tuple(findings))


def _pulled(call: Call) -> tuple[Any, Any]:
    """dC/dp and dC/da by the layer's own pullback."""
    assert call.layer.pullback
    kept = call.layer.forward(call.p, call.state, call.a, call.key)[1]
    pulled: Any = call.layer.pullback(call.p, kept, call.delta)
    if pulled is None:
        raise NothingYet
    if not isinstance(pulled, tuple) or len(pulled) != 2:
        raise TypeError(f"expected (dC/dp, dC/da), got {type(pulled).__name__}")
    return pulled[0], pulled[1]


def calls(layer: Layer, shape: Shape | None, seed: int) -> Iterator[tuple[Call, bool]]:
    """Calls of a layer with random numbers; and whether their inputs have many equal elements."""
    rng = np.random.default_rng(seed)
    axes = [layer.takes] if layer.takes else [1, 3]
    shapes = [shape] * 3 if shape else [s for n in axes for s in SHAPES[n]]
    found = False
    for (batch, tied), own in zip(itertools.cycle(BATCHES), shapes, strict=False):
        try:
            noise_shapes, _ = layer.shapes(own)
        except (ValueError, TypeError):
            continue
        noise = jax.tree.map(
            lambda s: jnp.asarray(rng.normal(size=s)), noise_shapes, is_leaf=_is_shape
        )
        made = layer.make(lambda n: Affine(n[:, :-1] / 2, n[:, -1] / 2), noise, own)
        # Ones and zeros that a layer begins with would hide a factor or a term.
        p = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape), made)
        state = jax.tree.map(lambda x: x + abs(rng.normal(size=jnp.shape(x))), layer.state(own))
        drawn = rng.normal(size=(own[0], batch, *own[1:]))
        a = jnp.asarray(np.round(drawn) if tied else drawn)
        key = jax.random.key(seed) if layer.draws or jax.tree.leaves(state) else None
        try:
            output = layer.forward(p, state, a, key)[0]
        except Exception:
            if shape or (own == shapes[-1] and not found):
                raise
            continue  # a shape that was guessed
        found = True
        yield Call(layer, p, state, a, key, jnp.asarray(rng.normal(size=output.shape))), tied


def _is_shape(noise: Any) -> bool:
    return isinstance(noise, tuple) and noise != () and all(isinstance(n, int) for n in noise)


def _finding(array: str, pairs: list[Pair], tied: list[Pair]) -> Finding:
    """What is found of one array over all inputs."""
    layer = pairs[0][0].layer
    about = layer.kind, symbol(array), equation(layer.maker, array)
    for _, yours, right in pairs:
        if problem := wrong_shape(array, yours, right):
            return Finding(*about, False, float("inf"), problem, yours, right)
    error, (call, yours, right) = max(
        ((difference(y, r), (c, y, r)) for c, y, r in (*pairs, *tied)), key=lambda found: found[0]
    )
    wrong = [pair for pair in pairs if not close(*pair[1:])]
    call = (wrong or pairs)[0][0]
    by_autodiff = agrees_with_differences(call, array, (wrong or pairs)[0][2])
    if wrong:
        if not by_autodiff and agrees_with_differences(call, array, wrong[0][1]):
            text = "central differences agree; jax.grad of its forward does not: does it stop one?"
            return Finding(*about, True, 0.0, text)
        text = explained(array, wrong)
        if not by_autodiff:
            text += "; and jax.grad of its forward disagrees with central differences as well"
        return Finding(*about, False, error, text, yours, right)
    if not by_autodiff:
        text = "equals jax.grad of its forward, but central differences disagree with both"
        return Finding(*about, False, 1.0, text, yours, by_differences(call, array))
    wrong = [pair for pair in tied if not close(*pair[1:])]
    if wrong and all(is_subgradient(c, array, y) for c, y, _ in wrong):
        text = "differs from jax.grad at kinks and ties only, as another subgradient"
        return Finding(*about, True, 0.0, text)
    if wrong:
        text = f"where inputs are equal or at a kink: {explained(array, wrong)}"
        return Finding(*about, False, error, text, yours, right)
    remark = "in float32" if error > TOLERANCE else ""
    return Finding(*about, True, error, remark, yours, right)


def check_activation(f: Activation, name: str = "activation") -> Checked:
    """Checks an activation's derivative beside `jax.grad` of its function, kinks and far ends too.

    Args:
        f: the activation.
        name: what it is called.
    """
    if f.derivative is None:
        return Checked(name, (), ("no derivative by hand: left to jax.grad, not checked",))
    if f.derivative(jnp.zeros((1, 1))) is None:
        return failed(name, NOTHING_YET)
    layer = activation(name, f)
    found = check_layer(layer._replace(takes=1))
    findings = [finding._replace(array="f'(z)", equation="BP2") for finding in found.findings]
    if found.ok:  # far from 0, where formulas overflow
        with jax.enable_x64(True):
            z = jnp.array([[-800.0, -40.0, -5.0, 5.0, 40.0, 800.0]])
            call = Call(layer, (), (), z, None, jnp.ones_like(z))
            yours, right = f.derivative(z), call.right()[1]
        if not close(yours, right):
            text = f"far from 0, at z = {[-800, -40, -5, 5, 40, 800]}: {side_by_side(yours, right)}"
            error = difference(yours, right)
            findings = [Finding(name, "f'(z)", "BP2", False, error, text, yours, right)]
    return Checked(name, tuple(findings), found.notes)


def check_loss(loss: Loss, name: str = "loss", classes: int = 10) -> Checked:
    """Checks a loss's derivative beside `jax.grad`, on labels among which every class occurs.

    Args:
        loss: the loss.
        name: what it is called.
        classes: how many.
    """
    derivative: Any = loss.derivative
    if derivative is None:
        return Checked(name, (), ("no derivative by hand: left to jax.grad, not checked",))
    about = name, "dC/dz", "BP1"
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        labels = jnp.arange(classes + 3) % classes
        logits = jnp.asarray(rng.normal(size=(classes + 3, classes)))
        try:
            yours = derivative(logits, labels)
        except Exception as raised:
            return failed(name, f"the derivative raises {type(raised).__name__}: {raised}")
        if yours is None:
            return failed(name, NOTHING_YET)
        right = right_derivative(loss, logits, labels)
        if problem := wrong_shape("logits", yours, right):
            return Checked(name, (Finding(*about, False, float("inf"), problem, yours, right),))
        if close(yours, right):
            shares = np.asarray(loss.probabilities(logits)).sum(axis=1)
            text = "" if np.allclose(shares, 1) else f"probabilities sum to {shares.max():.3g}"
            return Checked(name, (Finding(*about, not text, difference(yours, right), text),))
        text = explained_loss(loss, logits, labels, yours, right)
    error = difference(yours, right)
    return Checked(name, (Finding(*about, False, error, text, yours, right),))
