"""A trained model as ONNX: a node for each layer, weights as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from digits_jax.export.source import Source, card
from digits_jax.layers import Affine, Layer, Shape
from digits_jax.layers.convolutional import padding

OPSET = 20  # the first with Gelu
# The newest that onnxruntime of 2024 reads.
IR_VERSION = 9

# From an input's and an output's name to nodes.
Nodes = list[Any]


def serialise(source: Source) -> bytes:
    """The graph images uint8 [n, height, width] -> (logits, probabilities), for any n.

    Unlike in JAX, examples are rows and come first: [n, features], [n, channels, height, width].

    Raises:
        ValueError: in one line, where the package onnx is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise ValueError("ONNX: install the package onnx, as in digits_jax[onnx]") from None
    trained = source.trained
    height, width = trained.image_shape
    node = helper.make_node
    tensors = {
        "levels": np.array(255, np.float32),
        "image_shape": np.array([-1, 1, height, width]),
    }
    nodes = [
        node("Cast", ["images"], ["grey"], to=TensorProto.FLOAT),
        node("Div", ["grey", "levels"], ["scaled"]),
        node("Reshape", ["scaled", "image_shape"], ["a0"]),
    ]
    shape: Shape = (1, height, width)
    layers = source.model.layers
    for l, (layer, p) in enumerate(zip(layers, trained.params, strict=True)):
        a, z = f"a{l}", "logits" if l == len(layers) - 1 else f"a{l + 1}"
        inputs = [a]
        if p:
            inputs += [f"W{l}", f"b{l}"]
            tensors |= zip(inputs[1:], _parameters(layer, p), strict=True)
        nodes += NODES[layer.kind](node, inputs, z, layer, shape)
        shape = layer.shapes(shape)[1]
    nodes += PROBABILITIES[trained.config.loss](node)
    graph = helper.make_graph(
        nodes,
        source.name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", height, width])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", trained.num_classes])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="digits_jax",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, card(source))
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _parameters(layer: Layer, p: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Kernels as [out, channels, size, size]; matrices as they are."""
    weights, biases = np.asarray(p.weights), np.asarray(p.biases)
    if layer.kind == "convolution":
        size = dict(layer.numbers)["size"]
        weights = weights.reshape(len(weights), size, size, -1).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(weights), biases


def _convolution(node: Any, inputs: list[str], z: str, layer: Layer, shape: Shape) -> Nodes:
    numbers = dict(layer.numbers)
    size, stride = numbers["size"], numbers["stride"]
    (top, bottom, _), (left, right, _) = (padding(length, size, stride) for length in shape[1:])
    strides, pads = [stride, stride], [top, left, bottom, right]
    return [node("Conv", inputs, [z], strides=strides, pads=pads)]


def _max_pool(node: Any, inputs: list[str], z: str, layer: Layer, shape: Shape) -> Nodes:
    size = [dict(layer.numbers)["size"]] * 2
    return [node("MaxPool", inputs, [z], kernel_shape=size, strides=size)]


def _one(operator: str, **attributes: int) -> Callable[..., Nodes]:
    return lambda node, inputs, z, layer, shape: [node(operator, inputs, [z], **attributes)]


def _silu(node: Any, inputs: list[str], z: str, layer: Layer, shape: Shape) -> Nodes:
    gate = f"{z}_gate"
    return [node("Sigmoid", inputs, [gate]), node("Mul", [*inputs, gate], [z])]


# The nodes of each kind of layer.
NODES: dict[str, Callable[..., Nodes]] = {
    "dense": _one("Gemm", transB=1),
    "flatten": _one("Flatten"),
    "convolution": _convolution,
    "max-pool": _max_pool,
    "sigmoid": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "relu": _one("Relu"),
    "gelu": _one("Gelu"),
    "silu": _silu,
}
# From logits to probabilities. log(sigma(z)) is -Softplus(-z), safe where all are tiny.
PROBABILITIES: dict[str, Callable[[Any], Nodes]] = {
    "cross_entropy": lambda node: [node("Softmax", ["logits"], ["probabilities"], axis=-1)],
    "quadratic": lambda node: [
        node("Neg", ["logits"], ["opposite"]),
        node("Softplus", ["opposite"], ["surprise"]),
        node("Neg", ["surprise"], ["log_outputs"]),
        node("Softmax", ["log_outputs"], ["probabilities"], axis=-1),
    ],
}
USAGE = """\
session = onnxruntime.InferenceSession({path!r})
logits, probabilities = session.run(None, {{"images": images}})  # uint8 [n, {height}, {width}]\
"""
