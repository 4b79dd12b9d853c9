"""Mistakes that people make in back-propagation by hand, each a transformation of the right answer.

The table is read in both directions. Put into a network, a mistake shows which checks catch it
(`planted`). Compared with a wrong gradient, it says which mistake was made.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from digits_jax.activations import ACTIVATIONS
from digits_jax.layers import Layer, chain, convolution
from digits_jax.losses import LOSSES, Loss
from digits_jax.models import Model

Pulled = tuple[Any, Any]  # dC/dp and dC/da
AFFINE = ("dense", "convolution")


class Call(NamedTuple):
    """A layer, what its forward was given, and delta: all that a pullback may depend on."""

    layer: Layer
    p: Any
    state: Any
    a: Any
    key: Any
    delta: Any

    def output(self) -> Any:
        """What the layer gives for its input."""
        return self.layer.forward(self.p, self.state, self.a, self.key)[0]

    def right(self) -> Pulled:
        """dC/dp and dC/da by reverse mode of the layer's own forward."""

        def forward(p: Any, a: Any) -> Any:
            return self.layer.forward(p, self.state, a, self.key)[0]

        back, to_input = jax.vjp(forward, self.p, self.a)[1](self.delta)
        return back, to_input


class Mistake(NamedTuple):
    """What was done wrong, in words; the layers that it is made in; and what it makes of a call.

    kinds: of the layers; empty: any layer.
    arrays: what comes out wrong: "a" for dC/da, "p" for every parameter, or a field's name.
    pull: from a call to the wrong dC/dp and dC/da. It may fail for other kinds of layers.
    studied: whether `compare_gradients` trains with it.
    """

    words: str
    kinds: tuple[str, ...]
    arrays: str
    pull: Callable[[Call], Pulled]
    studied: bool = False


def _scaled(factor: Callable[[Call], float]) -> Callable[[Call], Pulled]:
    return lambda call: jax.tree.map(lambda x: factor(call) * x, call.right())


def _places(call: Call) -> int:
    """The number of places of one example, 1 for columns."""
    count: int = call.delta[0, 0].size
    return count


# A factor between yours and the right one, in words, as a function of batch size and places.
FACTORS: dict[str, Callable[[int, int], float]] = {
    "the right one with the opposite sign": lambda n, places: -1.0,
    "the right one multiplied by {n}, the batch size: the sum over the batch instead of the mean": (
        lambda n, places: n
    ),
    "the right one divided by {n}, the batch size: the mean instead of the sum": (
        lambda n, places: 1 / n
    ),
    "the right one divided by {places}, the places of an image: their mean instead of the sum": (
        lambda n, places: 1 / places
    ),
    "the right one multiplied by {places}, the places of an image": lambda n, places: places,
    "the right one divided by {both}, images times places: the mean instead of the sum": (
        lambda n, places: 1 / (n * places)
    ),
    "twice the right one": lambda n, places: 2.0,
    "half the right one": lambda n, places: 0.5,
}


def _first_image(call: Call) -> Pulled:
    return call._replace(delta=jnp.zeros_like(call.delta).at[:, 0].set(call.delta[:, 0])).right()


def _last_image(call: Call) -> Pulled:
    return call._replace(delta=jnp.zeros_like(call.delta).at[:, -1].set(call.delta[:, -1])).right()


def _weights_not_transposed(call: Call) -> Pulled:
    # The numbers row by row in the other order: a shape check finds nothing.
    wrong = jax.tree.map(lambda x: x.T.reshape(x.shape) if x.ndim == 2 else x, call.p)
    return call._replace(p=wrong).right()


def _gradient_transposed(call: Call) -> Pulled:
    grads, back = call.right()
    return jax.tree.map(lambda x: x.T.reshape(x.shape), grads), back


def _input_for_output(call: Call) -> Pulled:
    """f' at a = f(z) instead of at z."""
    return call._replace(a=call.output()).right()


def _kernel_not_flipped(call: Call) -> Pulled:
    weights = call.p.weights
    places = weights.reshape(len(weights), -1, len(call.a))[:, ::-1]
    return call._replace(p=call.p._replace(weights=places.reshape(weights.shape))).right()


def _kernel_gradient_flipped(call: Call) -> Pulled:
    grads, back = call.right()
    places = grads.weights.reshape(len(call.delta), -1, len(call.a))[:, ::-1]
    return grads._replace(weights=places.reshape(grads.weights.shape)), back


def _channels_first(call: Call) -> Pulled:
    grads, back = call.right()
    places = grads.weights.reshape(len(call.delta), -1, len(call.a)).swapaxes(1, 2)
    return grads._replace(weights=places.reshape(grads.weights.shape)), back


def _without_stride(call: Call) -> Pulled:
    dense = convolution(len(call.delta), dict(call.layer.numbers)["size"])
    _, _, rows, columns = call.delta.shape
    corner = jnp.zeros((len(call.delta), *call.a.shape[1:]), call.delta.dtype)
    corner = corner.at[:, :, :rows, :columns].set(call.delta)
    return call._replace(layer=dense, delta=corner).right()


def _shifted(image: Any) -> Any:
    return jnp.pad(image, ((0, 0), (0, 0), (1, 0), (1, 0)))[:, :, :-1, :-1]


def _off_by_a_pixel(call: Call) -> Pulled:
    grads, back = call.right()
    return grads, _shifted(back)


def _patches_off_by_a_pixel(call: Call) -> Pulled:
    return call._replace(a=_shifted(call.a)).right()


def _to_every_pixel(call: Call) -> Pulled:
    size = call.a.shape[2] // call.delta.shape[2]
    everywhere = call.delta.repeat(size, axis=2).repeat(size, axis=3)
    _, _, rows, columns = everywhere.shape
    return (), jnp.zeros_like(call.a).at[:, :, :rows, :columns].set(everywhere)


def _ties_to_all(call: Call) -> Pulled:
    right = call.right()[1]
    return (), jnp.where(right != 0, _to_every_pixel(call)[1], 0)


def _shared_by_all(call: Call) -> Pulled:
    size = call.a.shape[2] // call.delta.shape[2]
    return (), _to_every_pixel(call)[1] / size**2


def _rows_first(call: Call) -> Pulled:
    channels, batch, height, width = call.a.shape
    return (), jnp.moveaxis(call.delta.T.reshape(batch, height, width, channels), 3, 0)


ELEMENTWISE = tuple(ACTIVATIONS)
MISTAKES: dict[str, Mistake] = {
    "activation_derivative": Mistake(
        "BP2 forgets the factor f'(z)", ELEMENTWISE, "a", lambda c: ((), c.delta), studied=True
    ),
    "derivative_of_output": Mistake(
        "BP2 takes f'(a) instead of f'(z)", ELEMENTWISE, "a", _input_for_output
    ),
    "function_for_derivative": Mistake(
        "BP2 takes f(z) instead of f'(z)", ELEMENTWISE, "a", lambda c: ((), c.delta * c.output())
    ),
    "transposed_weights": Mistake(
        "dC/da reads the weights as if stored [in, out]",
        AFFINE,
        "a",
        _weights_not_transposed,
        studied=True,
    ),
    "transposed_gradient": Mistake(
        "the numbers of dC/dW are those of its transpose, row by row",
        AFFINE,
        "weights",
        _gradient_transposed,
    ),
    "bias_sum": Mistake(
        "takes the first image instead of the sum over the batch",
        AFFINE,
        "biases",
        _first_image,
        studied=True,
    ),
    "last_image": Mistake(
        "takes the last image instead of the sum over the batch", AFFINE, "p", _last_image
    ),
    "off_by_one": Mistake(
        "gets no gradient: all zeros",
        AFFINE,
        "p",
        _scaled(lambda c: 0.0),
        studied=True,
    ),
    "kernel_not_flipped": Mistake(
        "dC/da of a convolution by kernels that are not flipped",
        ("convolution",),
        "a",
        _kernel_not_flipped,
        studied=True,
    ),
    "kernel_gradient_flipped": Mistake(
        "dC/dW of a convolution is flipped in both directions",
        ("convolution",),
        "weights",
        _kernel_gradient_flipped,
    ),
    "channels_first": Mistake(
        "dC/dW of a convolution counts channels before places: [out, (c, i, j)]",
        ("convolution",),
        "weights",
        _channels_first,
    ),
    "stride": Mistake(
        "dC/da of a convolution forgets the stride",
        ("convolution",),
        "a",
        _without_stride,
        studied=True,
    ),
    "padding": Mistake(
        "dC/da of a convolution is off by a pixel of padding",
        ("convolution",),
        "a",
        _off_by_a_pixel,
        studied=True,
    ),
    "patches": Mistake(
        "dC/dW of a convolution takes patches that are off by a pixel of padding",
        ("convolution",),
        "weights",
        _patches_off_by_a_pixel,
    ),
    "pooling": Mistake(
        "a max-pool sends delta to every pixel, not to the greatest",
        ("max-pool",),
        "a",
        _to_every_pixel,
        studied=True,
    ),
    "ties": Mistake(
        "ties are given all of delta each, instead of a share", ("max-pool",), "a", _ties_to_all
    ),
    "pool_average": Mistake(
        "a max-pool shares delta among all pixels, as an average does",
        ("max-pool",),
        "a",
        _shared_by_all,
    ),
    "rows_first": Mistake(
        "pixels go back in another order: rows, columns, channels", ("flatten",), "a", _rows_first
    ),
}


class LossMistake(NamedTuple):
    """A mistake in BP1, in words: from loss, logits and labels to dC/d(logits) of each example."""

    words: str
    derivative: Callable[[Loss, Array, Array], Array]
    studied: bool = False


def right_derivative(loss: Loss, logits: Array, labels: Array) -> Array:
    """dC/d(logits) of each example, by reverse mode."""
    found: Array = jax.grad(lambda z: loss.function(z, labels).sum())(logits)
    return found


def _targets(logits: Array, labels: Array) -> Array:
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)


def _of(name: str) -> Callable[[Loss, Array, Array], Array]:
    return lambda loss, z, y: right_derivative(LOSSES[name], z, y)


LOSS_MISTAKES: dict[str, LossMistake] = {
    "batch_mean": LossMistake(
        "BP1 forgets to divide by the batch size",
        lambda loss, z, y: len(y) * right_derivative(loss, z, y),
        studied=True,
    ),
    "batch_mean_twice": LossMistake(
        "BP1 divides by the batch size twice",
        lambda loss, z, y: right_derivative(loss, z, y) / len(y),
    ),
    "loss_sign": LossMistake(
        "BP1 has the opposite sign", lambda loss, z, y: -right_derivative(loss, z, y)
    ),
    "loss_twice": LossMistake(
        "BP1 is twice the right one", lambda loss, z, y: 2 * right_derivative(loss, z, y)
    ),
    "sigmoid_factor": LossMistake(
        "BP1 forgets the factor sigma'(z)",
        lambda loss, z, y: jax.nn.sigmoid(z) - _targets(z, y),
    ),
    "no_softmax": LossMistake(
        "BP1 forgets the softmax: z - y", lambda loss, z, y: z - _targets(z, y)
    ),
    "softmax_of_batch": LossMistake(
        "BP1 takes the softmax over the batch instead of the classes",
        lambda loss, z, y: jax.nn.softmax(z, axis=0) - _targets(z, y),
    ),
    "no_label": LossMistake(
        "BP1 forgets to subtract the label",
        lambda loss, z, y: right_derivative(loss, z, y) + _targets(z, y),
    ),
    "other_cross_entropy": LossMistake("BP1 is that of cross_entropy", _of("cross_entropy")),
    "other_quadratic": LossMistake("BP1 is that of quadratic", _of("quadratic")),
}
STUDIED = tuple(n for n, m in (LOSS_MISTAKES | MISTAKES).items() if m.studied)


def planted_in(layer: Layer, mistake: Mistake) -> Layer:
    """The layer with a mistake in its pullback; what the mistake leaves right stays by hand."""

    def forward(p: Any, state: Any, a: Any, key: Any) -> tuple[Any, Any, Any]:
        output, kept, after = layer.forward(p, state, a, key)
        return output, (state, a, key, kept), after

    def pullback(p: Any, kept: Any, delta: Any) -> Pulled:
        state, a, key, own = kept
        assert layer.pullback
        grads, back = layer.pullback(p, own, delta)
        wrong, wrong_back = mistake.pull(Call(layer, p, state, a, key, delta))
        if mistake.arrays == "a":
            return grads, wrong_back
        if mistake.arrays == "p":
            return wrong, back
        field = mistake.arrays
        return grads._replace(**{field: getattr(wrong, field)}), back

    return layer._replace(forward=forward, pullback=pullback)


def planted(name: str, model: Model, loss: Loss) -> tuple[Model, Loss] | None:
    """A network and its loss with a mistake wherever it can be made; `None` where it cannot.

    A wrong dC/da below which there are no parameters is no mistake: nothing uses it. The mistake
    `off_by_one` is made in the first layer with parameters alone, `stride` where there is one.
    """
    if name in LOSS_MISTAKES:
        wrong = functools.partial(LOSS_MISTAKES[name].derivative, loss)
        return model, loss._replace(derivative=wrong)
    mistake, layers, passed = MISTAKES[name], list(model.layers), 0
    for n, layer in enumerate(layers):
        used = passed > 0 or mistake.arrays != "a"
        wide = name != "stride" or dict(layer.numbers).get("stride", 1) > 1
        only_first = name != "off_by_one" or passed == 0
        if layer.kind in mistake.kinds and used and wide and only_first:
            layers[n] = planted_in(layer, mistake)
        passed += layer.kind in AFFINE
    if layers == list(model.layers):
        return None
    return with_layers(model, layers), loss


def with_layers(model: Model, layers: Sequence[Layer]) -> Model:
    """The network with other layers in the place of its own, of the same shapes."""
    network = chain(*layers)

    def forward(params: Any, state: Any, images: Array, key: Any) -> tuple[Array, Any, Any]:
        a, kept, after = network.forward(params, state, images[None], key)
        return a.T, kept, after

    return model._replace(layers=network.layers, forward=forward)
