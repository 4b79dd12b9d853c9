"""How layers are written: the words of `--hidden`, and where an activation and columns go."""

import re
from collections.abc import Callable, Sequence

from digits_jax.layers.attention import attention, patches
from digits_jax.layers.columns import dense, flatten, linear
from digits_jax.layers.convolutional import convolution, depthwise
from digits_jax.layers.layer import Layer, Shape, residual
from digits_jax.layers.masks import dropout
from digits_jax.layers.normalisation import batch_norm, layer_norm, rms_norm
from digits_jax.layers.pooling import average_pool, last, max_pool, mean
from digits_jax.layers.recurrence import gru, lstm, rnn

# How a layer is written in a list of them, and what makes it.
WORDS: dict[str, Callable[..., Layer]] = {
    r"(?P<units>[1-9]\d*)": dense,
    r"conv(?P<kernels>[1-9]\d*)(x(?P<size>[1-9]\d*))?(/(?P<stride>[1-9]\d*))?": convolution,
    r"depth(?P<size>[1-9]\d*)(/(?P<stride>[1-9]\d*))?": depthwise,
    r"max(?P<size>[1-9]\d*)": max_pool,
    r"avg(?P<size>[1-9]\d*)": average_pool,
    r"mean": mean,
    r"last": last,
    r"bn": batch_norm,
    r"ln": layer_norm,
    r"rms": rms_norm,
    r"dropout(?P<percent>[1-9]\d*)": dropout,
    r"patch(?P<size>[1-9]\d*)x(?P<features>[1-9]\d*)": patches,
    r"attention(?P<heads>[1-9]\d*)": attention,
    r"rnn(?P<units>[1-9]\d*)": rnn,
    r"gru(?P<units>[1-9]\d*)": gru,
    r"lstm(?P<units>[1-9]\d*)": lstm,
    r"res\((?P<words>.*)\)": lambda words: residual(*parse([words])),
    r"linear": linear,
}
GRAMMAR = (
    "30 (units of a dense layer), conv24x5/2 (24 kernels of 5 x 5, stride 2; x3 and /1 where not "
    "given), depth3/2 (the same with a kernel for each channel), max2 or avg2 (pool of 2 x 2), "
    "mean or last (of all places), bn, ln or rms (normalisation), dropout25 (percent), patch4x32 "
    "(patches of 4 x 4 as 32 features), attention4 (heads), rnn64, gru64 or lstm64 (units, over "
    "rows), res(...) (layers around which their input is added to their output) or linear (no "
    "activation after the layer before it)"
)
# No image is as large: what a layer cannot do with this shape, it can do with no image.
LARGE: Shape = (1, 2**40, 2**40)


def split(words: Sequence[str | int]) -> list[str]:
    """The words of a list: res(conv8,conv8) is one word, also where it comes in two parts."""
    parts, depth = [""] if words else [], 0
    for character in ",".join(map(str, words)):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def parse(words: Sequence[str | int]) -> list[Layer]:
    """The layers that a list of words names, without their activations.

    Raises:
        ValueError: in one line, where one is not a word of the grammar.
    """
    network: list[Layer] = []
    for word in split(words):
        for pattern, make in WORDS.items():
            if found := re.fullmatch(pattern, word):
                given = {name: text for name, text in found.groupdict().items() if text}
                network.append(make(**{n: int(t) if t.isdigit() else t for n, t in given.items()}))
                break
        else:
            raise ValueError(f"{word!r} is not a layer: expected {GRAMMAR}")
    return network


def check(words: Sequence[str | int]) -> None:
    """Checks a list of words as far as that is possible without knowing the size of the images.

    Raises:
        ValueError: in one line, where one is not a word of the grammar, or cannot follow those
            before it.
    """
    place(parse(words), linear(), LARGE)


def place(
    layers: Sequence[Layer], activation: Layer, shape: Shape, axis: str | None = None
) -> tuple[list[Layer], bool, Shape]:
    """The layers of a network with its activations and, before layers of columns, `flatten`.

    An activation follows each "affine" layer, or the "norm" that comes directly after it; one that
    is due at the end of a residual connection follows the sum.

    Args:
        layers: as `parse` gives them.
        activation: as `activation` makes it.
        shape: of one input, without the batch.
        axis: a mesh axis over which every batch is spread.

    Returns:
        The layers, whether an activation is still due after them, and the shape of one output.

    Raises:
        ValueError: in one line, where a layer cannot follow the one before it.
    """
    placed: list[Layer] = []
    due = False

    def add(layer: Layer) -> None:
        nonlocal shape
        placed.append(layer)
        shape = layer.shapes(shape)[1]

    for layer in layers:
        if due and layer.role != "norm" and layer.maker is not linear:
            add(activation)
        due &= layer.role == "norm"
        if layer.maker is linear:
            continue
        if layer.maker is residual:
            inner, due, _ = place(layer.layers, activation, shape, axis)
            add(residual(*inner))
            continue
        takes = layer.takes or len(layer.shapes(shape)[1])
        if takes == 1 < len(shape):
            add(flatten())
        if takes == 3 > len(shape):
            raise ValueError(f"{layer.kind} needs an image, and the layers before it give columns")
        if layer.role is None:
            due = layer.shapes(shape)[0] != ()
        else:
            due |= layer.role == "affine"
        add(layer.over(axis) if axis and layer.over else layer)
    return placed, due, shape
