"""A trained model as ONNX: weights as they are, and a few nodes for each layer.

What was written is run by ONNX's own evaluator and compared, layer by layer, with the model.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax import layers
from digits_jax.activations import gelu
from digits_jax.export.source import Source, card
from digits_jax.layers import Layer, Shape, scopes
from digits_jax.layers.convolutional import padding
from digits_jax.layers.normalisation import EPSILON
from digits_jax.losses import LOSSES
from digits_jax.models import with_inputs

OPSET = 20  # the first with Gelu
# The newest that onnxruntime of 2024 reads.
IR_VERSION = 9
# Images that it is checked with, and how far values may be from the model's, of the largest.
CHECKED, TOLERANCE = 4, 1e-4


class Graph(NamedTuple):
    """Nodes and tensors so far."""

    nodes: list[Any]
    tensors: dict[str, np.ndarray]

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A node of inputs that are names or arrays; the name of its output, or of several."""
        from onnx import helper

        names = [i if isinstance(i, str) else self.tensor(i) for i in inputs]
        made = [f"{operator}{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def tensor(self, array: Any) -> str:
        """The name of a constant."""
        name = f"tensor{len(self.tensors)}"
        self.tensors[name] = np.asarray(array, order="C")
        return name


def serialise(source: Source) -> bytes:
    """The graph images uint8 [n, height, width] -> (logits, probabilities), for any n.

    Unlike in JAX, examples are rows and come first: [n, features], [n, channels, height, width].

    Raises:
        ValueError: in one line, where the package onnx is not installed, or a layer cannot be
            exported.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise ValueError("ONNX: install the package onnx, as in digits_jax[onnx]") from None
    trained = source.trained
    if trained.config.loss not in PROBABILITIES:
        raise ValueError(f"ONNX: the loss {trained.config.loss} has no nodes for probabilities")
    height, width = trained.image_shape
    graph = Graph([], {})
    grey = graph.add("Cast", "images", to=TensorProto.FLOAT)
    scaled = graph.add("Div", grey, np.float32(255))
    a = graph.add("Reshape", scaled, np.array([-1, 1, height, width]))
    params, state = source.model.split(trained.params)
    shape: Shape = (1, height, width)
    names = []
    for layer, p, s in zip(source.model.layers, params, state, strict=True):
        a = _nodes(graph, layer, p, s, a, shape)
        names.append(a)
        shape = layer.shapes(shape)[1]
    graph.nodes.append(helper.make_node("Identity", [a], ["logits"]))
    probabilities = PROBABILITIES[trained.config.loss](graph)
    graph.nodes.append(helper.make_node("Identity", [probabilities], ["probabilities"]))
    made = helper.make_graph(
        graph.nodes,
        source.name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", height, width])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", trained.num_classes])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(tensor, name) for name, tensor in graph.tensors.items()],
    )
    model = helper.make_model(
        made,
        producer_name="digits_jax",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, card(source))
    checker.check_model(model, full_check=True)
    content = bytes(model.SerializeToString())
    _check(source, content, names)
    return content


def _check(source: Source, content: bytes, names: list[str]) -> None:
    """Compares what was written with the model, the output of each layer.

    Raises:
        ValueError: in one line with the layer's name, where they differ.
    """
    from onnx.reference import ReferenceEvaluator

    shape = (CHECKED, *source.trained.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    read: Any = ReferenceEvaluator(content)
    found = read.run(None, {"images": images}, intermediate=True)
    evaluate = jax.jit(with_inputs(source.model))
    with jax.default_matmul_precision("highest"):
        logits, inputs = evaluate(source.trained.params, jnp.asarray(images, jnp.float32) / 255)
    expected = [*(a.swapaxes(0, 1) for a in inputs[1:]), logits]
    told = LOSSES[source.trained.config.loss].probabilities(logits)
    kinds = [*scopes(source.model.layers), "the loss"]
    pairs = zip(kinds, [*names, "probabilities"], [*expected, told], strict=True)
    for kind, name, value in pairs:
        actual = found[name]
        far = float(np.abs(actual - value).max()) if actual.shape == value.shape else math.inf
        if not far <= TOLERANCE * max(1.0, float(np.abs(value).max())):
            raise ValueError(f"ONNX: {kind} would be written as another function: off by {far:g}")


def _nodes(graph: Graph, layer: Layer, p: Any, s: Any, a: str, shape: Shape) -> str:
    """The nodes of a layer; the name of its output."""
    if layer.maker not in NODES:
        raise ValueError(f"ONNX: {layer.kind} has no nodes there: export this network as stablehlo")
    numbers = dict(layer.numbers)
    made: str = NODES[layer.maker](graph, a, layer=layer, p=p, s=s, shape=shape, **numbers)
    return made


def _convolution(
    graph: Graph, a: str, p: Any, shape: Shape, size: int, stride: int, **_: Any
) -> str:
    """Kernels as [out, channels, size, size]: of a depthwise layer, one channel each."""
    weights = np.asarray(p.weights).reshape(len(p.weights), size, size, -1).transpose(0, 3, 1, 2)
    (top, bottom, _first), (left, right, _second) = (padding(n, size, stride) for n in shape[1:])
    pads, strides = [top, left, bottom, right], [stride, stride]
    groups = shape[0] // weights.shape[1]
    z = graph.add("Conv", a, weights, p.biases, group=groups, pads=pads, strides=strides)
    return str(z)


def _patches(graph: Graph, a: str, p: Any, **others: Any) -> str:
    z = _convolution(graph, a, p=p.patch, **others)
    return str(graph.add("Add", z, np.asarray(p.positions)[None]))


def _pool(operator: str) -> Callable[..., str]:
    def nodes(graph: Graph, a: str, size: int, **_: Any) -> str:
        return str(graph.add(operator, a, kernel_shape=[size, size], strides=[size, size]))

    return nodes


def _last(graph: Graph, a: str, **_: Any) -> str:
    row = graph.add("Gather", a, np.array(-1), axis=3)
    return str(graph.add("Gather", row, np.array(-1), axis=2))


def _batch_norm(graph: Graph, a: str, p: Any, s: Any, **_: Any) -> str:
    arrays = p.scale, p.shift, s.mean, s.variance
    return str(graph.add("BatchNormalization", a, *arrays, epsilon=EPSILON))


def _layer_norm(graph: Graph, a: str, p: Any, shape: Shape, **_: Any) -> str:
    if len(shape) > 1:
        a = graph.add("Transpose", a, perm=[0, 2, 3, 1])
    z = graph.add("LayerNormalization", a, p.scale, p.shift, axis=-1, epsilon=EPSILON)
    return str(graph.add("Transpose", z, perm=[0, 3, 1, 2]) if len(shape) > 1 else z)


def _rms_norm(graph: Graph, a: str, p: Any, shape: Shape, **_: Any) -> str:
    square = graph.add("ReduceMean", graph.add("Mul", a, a), np.array([1]), keepdims=1)
    x = graph.add("Div", a, graph.add("Sqrt", graph.add("Add", square, np.float32(EPSILON))))
    return str(graph.add("Mul", x, np.asarray(p.scale).reshape(-1, *[1] * (len(shape) - 1))))


def _attention(graph: Graph, a: str, p: Any, shape: Shape, heads: int, **_: Any) -> str:
    features, *places = shape

    def mapped(p: Any, tokens: str) -> str:
        return str(graph.add("Add", graph.add("MatMul", p.weights, tokens), p.biases[:, None]))

    tokens = graph.add("Reshape", a, np.array([0, features, -1]))
    parts = graph.add("Split", mapped(p.inputs, tokens), outputs=3, axis=1, num_outputs=3)
    apart = np.array([0, heads, features // heads, math.prod(places)])
    q, k, v = (graph.add("Reshape", part, apart) for part in parts)
    product = graph.add("MatMul", graph.add("Transpose", q, perm=[0, 1, 3, 2]), k)
    scores = graph.add("Div", product, np.float32(math.sqrt(features / heads)))
    weights = graph.add("Transpose", graph.add("Softmax", scores, axis=-1), perm=[0, 1, 3, 2])
    joined = np.array([0, features, math.prod(places)])
    selected = graph.add("Reshape", graph.add("MatMul", v, weights), joined)
    return str(graph.add("Reshape", mapped(p.output, selected), np.array([0, *shape])))


def _recurrence(operator: str, gates: list[int], **attributes: int) -> Callable[..., str]:
    """`gates`: of ours, in the order of ONNX."""

    def nodes(graph: Graph, a: str, p: Any, shape: Shape, units: int, **_: Any) -> str:
        def ordered(array: Any) -> Any:
            parts = np.split(np.asarray(array), len(gates))
            return np.concatenate([parts[gate] for gate in gates])[None]

        channels, steps, width = shape
        rows = graph.add("Transpose", a, perm=[2, 0, 1, 3])
        x = graph.add("Reshape", rows, np.array([steps, -1, channels * width]))
        biases = ordered(p.biases)
        arrays = ordered(p.weights), ordered(p.recurrent), np.append(biases, 0 * biases, 1)
        hidden, *_ = graph.add(operator, x, *arrays, outputs=2, hidden_size=units, **attributes)
        z = graph.add("Transpose", hidden, perm=[2, 3, 0, 1])
        return str(z)

    return nodes


def _residual(graph: Graph, a: str, layer: Layer, p: Any, s: Any, shape: Shape, **_: Any) -> str:
    z, inner = a, shape
    for each, own, state in zip(layer.layers, p[0], s, strict=True):
        z, inner = _nodes(graph, each, own, state, z, inner), each.shapes(inner)[1]
    if not p[1]:
        return str(graph.add("Add", a, z))
    if len(shape) == 1:
        return str(graph.add("Add", graph.add("Gemm", a, *p[1], transB=1), z))
    strides = [max(1, round(n / m)) for n, m in zip(shape[1:], inner[1:], strict=True)]
    ends = np.array([s * (m - 1) + 1 for s, m in zip(strides, inner[1:], strict=True)])
    seen = graph.add("Slice", a, np.array([0, 0]), ends, np.array([2, 3]), np.array(strides))
    skip = graph.add("Conv", seen, np.asarray(p[1].weights)[:, :, None, None], p[1].biases)
    return str(graph.add("Add", skip, z))


def _one(operator: str, **attributes: int) -> Callable[..., str]:
    def nodes(graph: Graph, a: str, p: Any, **_: Any) -> str:
        return str(graph.add(operator, a, *p, **attributes))

    return nodes


# The nodes of what each function makes, or of the function that an activation applies.
NODES: dict[Any, Callable[..., str]] = {
    layers.dense: _one("Gemm", transB=1),
    layers.flatten: _one("Flatten"),
    layers.convolution: _convolution,
    layers.depthwise: _convolution,
    layers.max_pool: _pool("MaxPool"),
    layers.average_pool: _pool("AveragePool"),
    layers.mean: lambda graph, a, **_: graph.add("Flatten", graph.add("GlobalAveragePool", a)),
    layers.last: _last,
    layers.dropout: lambda graph, a, **_: a,
    layers.batch_norm: _batch_norm,
    layers.layer_norm: _layer_norm,
    layers.rms_norm: _rms_norm,
    layers.patches: _patches,
    layers.attention: _attention,
    layers.rnn: _recurrence("RNN", [0]),
    layers.gru: _recurrence("GRU", [1, 0, 2], linear_before_reset=1),
    layers.lstm: _recurrence("LSTM", [0, 3, 1, 2]),
    layers.residual: _residual,
    jax.nn.sigmoid: _one("Sigmoid"),
    jnp.tanh: _one("Tanh"),
    jax.nn.relu: _one("Relu"),
    gelu: _one("Gelu"),
    jax.nn.silu: lambda graph, a, **_: graph.add("Mul", a, graph.add("Sigmoid", a)),
}
# From logits to probabilities. log(sigma(z)) is -Softplus(-z), safe where all are tiny.
PROBABILITIES: dict[str, Callable[[Graph], str]] = {
    "cross_entropy": lambda graph: graph.add("Softmax", "logits", axis=-1),
    "quadratic": lambda graph: graph.add(
        "Softmax", graph.add("Neg", graph.add("Softplus", graph.add("Neg", "logits"))), axis=-1
    ),
}
USAGE = """\
session = onnxruntime.InferenceSession({path!r})
logits, probabilities = session.run(None, {{"images": images}})  # uint8 [n, {height}, {width}]\
"""
