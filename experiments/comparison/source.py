"""Table 5: how many lines of this repository a method takes, counted from its source."""

import ast
import inspect
import io
import textwrap
import tokenize
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from digits_jax import gradients
from digits_jax.activations import ACTIVATIONS
from digits_jax.config import Config
from digits_jax.losses import LOSSES
from experiments.peers import numpy_backprop, numpy_vectorised

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


class Row(NamedTuple):
    """Lines of code of a method, and the functions they are in."""

    method: str
    lines: int
    functions: str


def code_lines(source: str) -> int:
    """Lines of Python that hold code: no blank lines, comments or docstrings."""
    source = textwrap.dedent(source)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def functions(config: Config) -> dict[str, list[Callable[..., Any]]]:
    """What somebody had to write for each method, beyond the model and loss that JAX is given.

    Of activations and losses only what `config` uses counts in JAX; in NumPy, forward pass,
    activations and losses count whole, for nothing there is shared.
    """
    activation, loss = ACTIVATIONS[config.activation], LOSSES[config.loss]
    derivatives: list[Callable[..., Any]] = [loss.derivative]
    if activation.derivative:
        derivatives.insert(0, activation.derivative)
    every_parameter: list[Callable[..., Any]] = [
        gradients.make_mean_loss,
        gradients._for_every_parameter,
    ]
    elementwise: list[Callable[..., Any]] = [
        numpy_backprop.f,
        numpy_backprop.f_prime,
        numpy_backprop._normal_cdf,
    ]
    return {
        "autodiff": [gradients.make_mean_loss, gradients.autodiff],
        "manual": [gradients.manual, *derivatives],
        "numpy": [
            numpy_vectorised.value_and_grad,
            numpy_vectorised.cost,
            numpy_vectorised.f_prime,
            *elementwise,
        ],
        "numpy_loops": [
            numpy_backprop.value_and_grad,
            numpy_backprop.backprop,
            numpy_backprop.cost,
            *elementwise,
        ],
        "forward_mode": [gradients.forward_mode, *every_parameter],
        "finite_differences": [gradients.finite_differences, *every_parameter],
    }


def rows(config: Config, methods: Sequence[str]) -> list[Row]:
    """The count of every method."""
    return [
        Row(
            method,
            sum(code_lines(inspect.getsource(function)) for function in functions(config)[method]),
            ", ".join(function.__name__ for function in functions(config)[method]),
        )
        for method in methods
    ]
