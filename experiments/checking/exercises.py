"""Exercises: files that lack a pullback, a derivative or a gradient, for `--new`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from digits_jax import checking
from digits_jax.layers import WORDS, Layer

OTHERS = {
    "activation": '''
import jax.numpy as jnp
from digits_jax.activations import ACTIVATIONS, Activation


def f(z):
    """softplus: log(1 + exp(z))"""
    return jnp.logaddexp(z, 0)


def derivative(z):
    """f'(z), element by element: write it."""
    return None


ACTIVATIONS["mine"] = Activation(f, derivative)
''',
    "loss": '''
import jax
import jax.numpy as jnp
from digits_jax.losses import LOSSES, Loss


def f(logits, labels):
    """The squared distance of softmax(z) from y, for each image: logits [batch, classes]."""
    y = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return jnp.sum((jax.nn.softmax(logits) - y) ** 2, axis=1)


def derivative(logits, labels):
    """dC/dz [batch, classes] of each image's loss, not divided by the batch size: write it."""
    return None


LOSSES["mine"] = Loss(f, derivative, jax.nn.softmax, outputs="softmax of the logits")
''',
    "gradient": '''
import jax.numpy as jnp
from digits_jax.gradients import GRADIENTS


def mine(model, loss):
    def value_and_grad(params, images, labels):
        """The mean loss with the logits, and dC/dp made like params; NumPy and loops will do.

        params: for each layer Affine(weights [out, in], biases [out]), or () for an activation.
        images: [batch, height, width]; labels: [batch].
        """
        logits = model.apply(params, images)
        mean_loss = jnp.mean(loss.function(logits, labels))
        return (mean_loss, logits), None  # write the gradient

    return value_and_grad


GRADIENTS["mine"] = mine
''',
}
LAYER = '''
import jax.numpy as jnp
from digits_jax.layers import WORDS


def mine({names}):
    """{about}"""
    right = WORDS[{pattern!r}]({names})  # its shapes and its forward; its pullback is yours

    def pullback(p, kept, delta):
        """dC/dp, made like p, and dC/da, made like the input a: write it.

        For instance, with an input {a}:
            p: {p}
            kept: {kept}
            delta = dC/d(output): {delta}
        """
        return None

    return right._replace(kind="my_{kind}", pullback=pullback)


WORDS[{own!r}] = mine  # in --hidden: my_{word}
'''


def example(pattern: str, make: Callable[..., Layer]) -> Layer:
    """A small layer of those that a word of `--hidden` stands for.

    Raises:
        ValueError: in one line, if no number up to 4 makes one.
    """
    names = list(re.compile(pattern).groupindex)
    for number in (3, 2, 4, 1):
        numbers: dict[str, Any] = {n: 2 if n == "stride" else number for n in names}
        numbers |= {n: "conv2" for n in names if n == "words"}
        try:
            return make(**numbers)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            reason = error
    raise ValueError(f"{pattern}: no small example of this layer: {reason}")


def write(kind: str) -> str:
    """Writes an exercise into the current folder, and says what to do with it.

    Raises:
        ValueError: in one line, if there is no such kind, or the file exists.
    """
    made = {example(pattern, make).kind: (pattern, make) for pattern, make in WORDS.items()}
    if kind not in made and kind not in OTHERS:
        raise ValueError(f"new={kind}: choose one of {', '.join([*OTHERS, *made])}")
    path = Path(f"my_{re.sub('[^a-z0-9]+', '_', kind)}.py")
    if path.exists():
        raise ValueError(f"{path} exists: rename it to get a new exercise")
    command = f"python -m experiments.check_gradients {path}"
    head = f'"""An exercise. Check it: {command}"""\n'
    path.write_text(head + (OTHERS.get(kind) or _layer(kind, *made[kind])))
    return f"{path}: write what it asks for, then {command}"


def _layer(kind: str, pattern: str, make: Callable[..., Layer]) -> str:
    layer = example(pattern, make)
    with jax.enable_x64(True):
        call, _ = next(checking.calls(layer, None, 0))
        kept = layer.forward(call.p, call.state, call.a, call.key)[1]
    names = ", ".join(re.compile(pattern).groupindex)
    about = ((layer.maker and layer.maker.__doc__) or kind).splitlines()[0]
    word = re.sub(r"\(\?P<(\w+)>[^()]*\)", "3", pattern)
    return LAYER.format(
        names=names,
        about=about,
        pattern=pattern,
        a=_shapes(call.a),
        p=_shapes(call.p),
        kept=_shapes(kept),
        delta=_shapes(call.delta),
        kind=kind,
        own=f"my_{pattern}",
        word=re.sub(r"[()?]", "", word),
    )


def _shapes(tree: Any) -> str:
    """The shapes of a pytree, as a person reads them."""
    if not jax.tree.leaves(tree):
        return "()"
    if hasattr(tree, "shape"):
        return str(list(np.shape(tree)))
    each = checking.leaves(tree).items()
    return f"{type(tree).__name__}({', '.join(f'{n} {list(np.shape(x))}' for n, x in each)})"
