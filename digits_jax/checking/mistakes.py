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
from digits_jax.checking import transformations as to
from digits_jax.checking.transformations import CELLS, Call, Pulled
from digits_jax.layers import Layer, chain
from digits_jax.losses import LOSSES, Loss
from digits_jax.models import Model

AFFINE = ("dense", "convolution", "depthwise")


class Mistake(NamedTuple):
    """What was done wrong, in words; the layers that it is made in; and what it makes of a call.

    kinds: of the layers; empty: any layer.
    arrays: what comes out wrong: "a" for dC/da, "p" for every parameter, "all", or a field's name.
    pull: from a call to the wrong dC/dp and dC/da. It may fail for other kinds of layers.
    studied: whether `compare_gradients` trains with it.
    """

    words: str
    kinds: tuple[str, ...]
    arrays: str
    pull: Callable[[Call], Pulled]
    studied: bool = False


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


ELEMENTWISE = tuple(ACTIVATIONS)
WITHOUT_PARAMETERS = (
    *ELEMENTWISE,
    *("flatten", "max-pool", "average-pool", "mean", "last", "dropout"),
)
NORMS, RECURRENT = ("batch-norm", "layer-norm", "rms-norm"), tuple(CELLS)
MISTAKES: dict[str, Mistake] = {
    "activation_derivative": Mistake(
        "BP2 forgets the factor f'(z)", ELEMENTWISE, "a", lambda c: ((), c.delta), studied=True
    ),
    "derivative_of_output": Mistake(
        "BP2 takes f'(a) instead of f'(z)", ELEMENTWISE, "a", to.input_for_output
    ),
    "function_for_derivative": Mistake(
        "BP2 takes f(z) instead of f'(z)", ELEMENTWISE, "a", lambda c: ((), c.delta * c.output())
    ),
    "transposed_weights": Mistake(
        "dC/da reads the weights as if stored [in, out]",
        ("dense", "convolution"),
        "a",
        to.weights_not_transposed,
        studied=True,
    ),
    "transposed_gradient": Mistake(
        "the numbers of dC/dW are those of its transpose, row by row",
        ("dense", "convolution"),
        "weights",
        to.gradient_transposed,
    ),
    "bias_sum": Mistake(
        "takes the first image instead of the sum over the batch",
        AFFINE,
        "biases",
        to.first_image,
        studied=True,
    ),
    "last_image": Mistake(
        "takes the last image instead of the sum over the batch", AFFINE, "p", to.last_image
    ),
    "off_by_one": Mistake(
        "gets no gradient: all zeros",
        AFFINE,
        "p",
        to.scaled(lambda c: 0.0),
        studied=True,
    ),
    "kernel_not_flipped": Mistake(
        "dC/da of a convolution by kernels that are not flipped",
        ("convolution",),
        "a",
        to.kernel_not_flipped,
        studied=True,
    ),
    "kernel_gradient_flipped": Mistake(
        "dC/dW of a convolution is flipped in both directions",
        ("convolution",),
        "weights",
        to.kernel_gradient_flipped,
    ),
    "channels_first": Mistake(
        "dC/dW of a convolution counts channels before places: [out, (c, i, j)]",
        ("convolution",),
        "weights",
        to.channels_first,
    ),
    "stride": Mistake(
        "dC/da of a convolution forgets the stride",
        ("convolution",),
        "a",
        to.without_stride,
        studied=True,
    ),
    "padding": Mistake(
        "dC/da of a convolution is off by a pixel of padding",
        ("convolution",),
        "a",
        to.off_by_a_pixel,
        studied=True,
    ),
    "patches": Mistake(
        "dC/dW of a convolution takes patches that are off by a pixel of padding",
        ("convolution",),
        "weights",
        to.patches_off_by_a_pixel,
    ),
    "pooling": Mistake(
        "a max-pool sends delta to every pixel, not to the greatest",
        ("max-pool",),
        "a",
        to.to_every_pixel,
        studied=True,
    ),
    "ties": Mistake(
        "ties are given all of delta each, instead of a share", ("max-pool",), "a", to.ties_to_all
    ),
    "pool_average": Mistake(
        "a max-pool shares delta among all pixels, as an average does",
        ("max-pool",),
        "a",
        to.shared_by_all,
    ),
    "average_not_divided": Mistake(
        "an average sends all of delta to each pixel, not divided by size^2",
        ("average-pool",),
        "a",
        to.to_every_pixel,
        studied=True,
    ),
    "average_to_one": Mistake(
        "an average sends delta to one pixel only", ("average-pool",), "a", to.to_one_pixel
    ),
    "mean_not_divided": Mistake(
        "the mean over places sends all of delta to each, not divided by their number",
        ("mean",),
        "a",
        to.of_places,
    ),
    "mean_to_first": Mistake(
        "sends delta to the first place only", ("mean", "last"), "a", to.to_first_place
    ),
    "last_to_all": Mistake(
        "sends delta to every place, not to the last", ("last",), "a", to.of_places
    ),
    "mean_share": Mistake(
        "leaves out the mean's share: takes the mean for a constant",
        ("batch-norm", "layer-norm"),
        "a",
        lambda c: to.normalised(c, jax.lax.stop_gradient, to.same),
        studied=True,
    ),
    "variance_share": Mistake(
        "leaves out the variance's share: takes the deviation for a constant",
        NORMS,
        "a",
        lambda c: to.normalised(c, to.same, jax.lax.stop_gradient),
        studied=True,
    ),
    "both_shares": Mistake(
        "takes mean and deviation for constants",
        ("batch-norm", "layer-norm"),
        "a",
        lambda c: to.normalised(c, jax.lax.stop_gradient, jax.lax.stop_gradient),
    ),
    "without_scale": Mistake(
        "dC/da forgets the factor scale",
        NORMS,
        "a",
        lambda c: c._replace(p=c.p._replace(scale=jnp.ones_like(c.p.scale))).right(),
    ),
    "input_for_normalised": Mistake(
        "dC/dscale takes the input a instead of the normalised x",
        NORMS,
        "scale",
        to.scale_of_input,
    ),
    "mask_anew": Mistake(
        "draws the mask anew instead of keeping it",
        ("dropout",),
        "a",
        lambda c: c._replace(key=jax.random.fold_in(c.key, 1)).right(),
        studied=True,
    ),
    "no_mask": Mistake(
        "sends all of delta back, without the mask", ("dropout",), "a", lambda c: ((), c.delta)
    ),
    "share_not_divided": Mistake(
        "forgets to divide by the share that is kept, 1 - q",
        ("dropout",),
        "a",
        lambda c: ((), c.right()[1] * (1 - dict(c.layer.numbers)["percent"] / 100)),
    ),
    "softmax_share": Mistake(
        "the softmax's pullback leaves out its sum: w dw instead of w (dw - w . dw)",
        ("attention",),
        "all",
        lambda c: to.attention(c, scaled=True, share=False),
        studied=True,
    ),
    "no_square_root": Mistake(
        "forgets the factor 1/sqrt(d) of the scores",
        ("attention",),
        "all",
        lambda c: to.attention(c, scaled=False, share=True),
    ),
    "not_through_time": Mistake(
        "nothing goes back from a step to the step before it",
        RECURRENT,
        "all",
        lambda c: to.not_through_time(c, cut_all=True),
        studied=True,
    ),
    "recurrent_share": Mistake(
        "dh leaves out what comes by way of U h",
        ("gru", "lstm"),
        "all",
        lambda c: to.not_through_time(c, cut_all=False),
    ),
    "last_step": Mistake(
        "takes delta of the last step only, not of every step", RECURRENT, "all", to.last_step
    ),
    "rows_first": Mistake(
        "pixels go back in another order: rows, columns, channels", ("flatten",), "a", to.rows_first
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
        if mistake.arrays in ("p", "all"):
            return wrong, back if mistake.arrays == "p" else wrong_back
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
        passed += layer.kind not in WITHOUT_PARAMETERS
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
