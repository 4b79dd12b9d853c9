"""The check of a whole gradient, and the way back through a network that explains it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.activations import ACTIVATIONS
from digits_jax.checking.explanations import UNKNOWN, explained, explained_loss
from digits_jax.checking.findings import (
    EQUATIONS,
    NOTHING_YET,
    QUICK,
    Checked,
    Finding,
    NothingYet,
    close,
    difference,
    failed,
    leaves,
    structure,
    symbol,
    tolerance,
    wrong_shape,
)
from digits_jax.checking.mistakes import LOSS_MISTAKES, MISTAKES
from digits_jax.checking.transformations import Call
from digits_jax.gradients import ValueAndGrad, autodiff, first
from digits_jax.layers import activation, scopes
from digits_jax.losses import LOSSES, Loss
from digits_jax.models import Model, stack

Hypothesis = tuple[Any, tuple[str, ...]]  # a delta, and the mistakes that led to it


def check_gradient(
    make: Callable[[Model, Loss], ValueAndGrad],
    model: Model | None = None,
    loss: Loss | None = None,
    image_shape: tuple[int, int] = (28, 28),
    classes: int = 10,
    name: str = "gradient",
) -> Checked:
    """Checks a whole gradient beside `gradients.autodiff`, array by array, on several batches.

    The batches: one image of each class and more, and a single image.

    Args:
        make: of a network and a loss, as in `gradients.GRADIENTS`.
        model: the network; by default the classic one and one with two hidden layers.
        loss: the loss; by default the quadratic one.
        image_shape: height and width of the network's images.
        classes: of the network.
        name: what the gradient is called.
    """
    sigmoid = activation("sigmoid", ACTIVATIONS["sigmoid"])
    hidden: tuple[tuple[str, ...], ...] = (("30",), ("7", "5"))
    models = [model] if model else [stack(h, sigmoid, image_shape, classes) for h in hidden]
    loss, findings, notes = loss or LOSSES["quadratic"], [], []
    for number, network in enumerate(models):
        try:
            value_and_grad = make(network, loss)
        except ValueError as error:
            return Checked(name, (), (f"{error}: not checked",))
        try:
            found = _of_network(value_and_grad, network, loss, image_shape, classes)
            several = f", {number + 1} hidden" if len(models) > 1 else ""
            findings += [finding._replace(where=finding.where + several) for finding in found]
        except NothingYet:
            return failed(name, NOTHING_YET)
        except Exception as error:
            text = f"it raises {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if not number:
                return failed(name, text)
            notes.append(f"not checked with two hidden layers: {text}")
    return Checked(name, tuple(findings), tuple(notes))


def _of_network(
    value_and_grad: ValueAndGrad,
    model: Model,
    loss: Loss,
    image_shape: tuple[int, int],
    classes: int,
) -> list[Finding]:
    rng = np.random.default_rng(0)
    worst: dict[str, tuple[float, Any, Any, Any]] = {}
    with jax.enable_x64(True):
        init = jax.jit(model.init, compiler_options=QUICK)(jax.random.key(0))
        params = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), init)
        for count in (classes + 3, 1):
            images = jnp.asarray(rng.uniform(size=(count, *image_shape)))
            batch = images, jnp.arange(count) % classes
            reverse = jax.jit(autodiff(model, loss), compiler_options=QUICK)
            (right_loss, _), right = reverse(params, *batch)
            try:
                (value, _), yours = jax.jit(value_and_grad, compiler_options=QUICK)(params, *batch)
            except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError):
                (value, _), yours = value_and_grad(params, *batch)
            if yours is None:
                raise NothingYet
            if problem := structure(params, yours):
                return [Finding("gradient", "dC/dp", "", False, float("inf"), problem)]
            every = {"C": (value, right_loss)}
            every |= {n: (y, leaves(right)[n]) for n, y in leaves(yours).items()}
            for array, (theirs, own) in every.items():
                shaped = np.shape(theirs) == np.shape(own)
                far = difference(theirs, own) if shaped else float("inf")
                if array not in worst or far > worst[array][0]:
                    worst[array] = far, theirs, own, (params, batch, yours)
        wrong = {n: found for n, found in worst.items() if found[0] >= tolerance(found[1])}
        said: dict[str, str] = {}
        if set(wrong) - {"C"} and all(np.isfinite(found[0]) for found in wrong.values()):
            *_, given = max(wrong.values(), key=lambda found: found[0])
            said = walk(model, loss, *given)
    names, findings = scopes(model.layers), []
    for array, (far, theirs, own, _) in worst.items():
        number, _, field = array.partition(".")
        where = names[int(number)] if field else "loss"
        about = where, symbol(field) if field else "C", EQUATIONS.get(field, "")
        text = wrong_shape(field, theirs, own) or said.get(array, "")
        if UNKNOWN in text:
            others = (n for n, found in worst.items() if n != array and close(theirs, found[2]))
            text = f"it is the gradient of {other}" if (other := next(others, "")) else text
        ok = array not in wrong
        findings.append(Finding(*about, ok, far, "" if ok else text, theirs, own))
    return findings


def walk(model: Model, loss: Loss, params: Any, batch: Any, yours: Any) -> dict[str, str]:
    """Back through a network as back-propagation goes, with a red pen: what explains each array.

    Layer by layer, the deltas that the mistakes found so far could have led to are kept, and those
    dropped that the gradient of the layer contradicts.
    """
    images, labels = batch
    every, logits = _network_calls(model, params, images)
    n = len(labels)
    right = jax.grad(lambda z: loss.function(z, labels).mean())(logits)
    deltas: list[Hypothesis] = [(right.T, ())]
    for mistake in LOSS_MISTAKES.values():
        wrong = mistake.derivative(loss, logits, labels) / n
        if not close(wrong, right):
            deltas.append((wrong.T, (mistake.words,)))
    derivative: Any = loss.derivative
    given = right if derivative is None else derivative(logits, labels) / n
    if np.shape(given) == np.shape(right) and not any(close(given, d.T) for d, _ in deltas):
        text = explained_loss(loss, logits, labels, n * given, n * right)
        deltas.append((given.T, (f"BP1: {text}",)))
    said: dict[str, str] = {}
    for i in reversed(range(len(every))):
        call, name = every[i], scopes(model.layers)[i]
        theirs = leaves(yours[i])
        if theirs:
            deltas = _consistent(call, theirs, deltas)
            delta, notes = deltas[0]
            corrected, _ = call._replace(delta=delta).right()
            for field, array in leaves(corrected).items():
                texts = list(notes)
                if not close(theirs[field], array):
                    each = call._replace(delta=delta), theirs[field], array
                    texts.append(f"{name}: {explained(field, [each])}")
                said[f"{i}.{field}"] = "; and ".join(texts)
        if any(leaves(p) for p in yours[:i]):
            deltas = [h for each in deltas[:8] for h in _back(call, name, each)]
    return said


def _network_calls(model: Model, params: Any, images: Any) -> tuple[list[Call], Any]:
    """Each layer of a network with its input; delta is still to come. And the logits."""
    state, key = first(model)
    a, every = images[None], []
    for n, (layer, p, s) in enumerate(zip(model.layers, params, state, strict=True)):
        own = jax.random.fold_in(key, n) if key is not None and layer.draws else key
        every.append(Call(layer, p, s, a, own, None))
        a = every[-1].output()
    return every, a.T


def _consistent(call: Call, given: dict[str, Any], deltas: list[Hypothesis]) -> list[Hypothesis]:
    """The deltas that explain most arrays of a layer, those of the fewest mistakes first."""
    pull = jax.jit(lambda delta: call._replace(delta=delta).right()[0], compiler_options=QUICK)

    def matches(hypothesis: Hypothesis) -> int:
        grads = leaves(pull(hypothesis[0]))
        return sum(close(given[n], x) and bool(np.any(np.asarray(x))) for n, x in grads.items())

    ranked = [(matches(each), -len(each[1]), each) for each in deltas]
    best = max(score for score, *_ in ranked)
    if not best:  # this layer's own arrays are wrong: nothing is said of delta
        return sorted(deltas, key=lambda each: len(each[1]))[:1]
    kept = sorted((-fewest, n) for n, (score, fewest, _) in enumerate(ranked) if score == best)
    return [ranked[n][2] for _, n in kept]


def _back(call: Call, name: str, hypothesis: Hypothesis) -> Iterator[Hypothesis]:
    """dC/da of a layer, right and with each mistake."""
    delta, notes = hypothesis
    here = call._replace(delta=delta)
    right = here.right()[1]
    yield right, notes
    for mistake in MISTAKES.values():
        if mistake.arrays == "a" and call.layer.kind in mistake.kinds:
            back = mistake.pull(here)[1]
            if np.shape(back) == np.shape(right) and not close(back, right):
                yield back, (*notes, f"{name}: {mistake.words}")
