"""The ways to a gradient, each a `ValueAndGrad` behind one name, and which run at which size."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from digits_jax import gradients, layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset
from digits_jax.gradients import GRADIENTS, ValueAndGrad
from digits_jax.training import TrainState, make_training
from experiments.cli.timing import measure
from experiments.comparison.problem import Place, Problem
from experiments.peers import numpy_backprop, numpy_vectorised

DTYPES = ("float32", "float64", "bfloat16")
PEERS_KNOW = ("sigmoid", "tanh", "relu", "gelu")


def _derived(problem: Problem) -> str:
    kind = gradients.underived(problem.model.layers)
    return f"no derivative of {kind} written by hand" if kind else ""


def _dense(problem: Problem) -> str:
    """What the peers in NumPy lack: they know dense layers, four activations and two losses."""
    makers = {layers.dense, layers.flatten, *(ACTIVATIONS[name].function for name in PEERS_KNOW)}
    kinds = {"dense", "flatten", *PEERS_KNOW}  # a layer that was changed keeps its maker
    every = problem.model.layers
    unknown = {
        layer.kind for layer in every if layer.maker not in makers or layer.kind not in kinds
    }
    if problem.config.label_smoothing:
        unknown.add("label smoothing")
    if problem.config.loss not in ("quadratic", "cross_entropy"):
        unknown.add(f"loss {problem.config.loss}")
    return f"NumPy has no {', '.join(sorted(unknown))}" if unknown else ""


class Method(NamedTuple):
    """A way to a gradient.

    `make` gives its ValueAndGrad; `why_not` what stands in its way at a problem, or nothing;
    `compiled` tells XLA from NumPy; `passes` is the number of forward passes for each parameter.
    """

    make: Callable[[Problem], ValueAndGrad]
    why_not: Callable[[Problem], str] = lambda problem: ""
    compiled: bool = True
    dtypes: tuple[str, ...] = DTYPES
    passes: int = 0


def _peer(value_and_grad: Callable[..., Any]) -> Method:
    """A peer's gradient, which takes and gives pairs of arrays, as a ValueAndGrad."""

    def make(problem: Problem) -> ValueAndGrad:
        def of_layers(params: Any, images: Any, labels: Any) -> Any:
            layers = list(filter(None, params))
            names = problem.config.activation, problem.config.loss
            value, pairs = value_and_grad(layers, images, labels, *names)
            return (value, None), jax.tree.unflatten(
                jax.tree.structure(params), [array for pair in pairs for array in pair]
            )

        return of_layers

    return Method(make, _dense, compiled=False, dtypes=("float32", "float64"))


METHODS = {
    "autodiff": Method(lambda p: gradients.autodiff(p.model, p.loss)),
    "manual": Method(lambda p: gradients.manual(p.model, p.loss), _derived),
    "numpy": _peer(numpy_vectorised.value_and_grad),
    "numpy_loops": _peer(numpy_backprop.value_and_grad),
    "forward_mode": Method(lambda p: gradients.forward_mode(p.model, p.loss), passes=1),
    "finite_differences": Method(
        lambda p: gradients.finite_differences(p.model, p.loss), dtypes=("float64",), passes=2
    ),
}


def add_own(problem: Problem) -> None:
    """Puts the gradients that `--entries` has registered among the methods."""
    for name, make in GRADIENTS.items():
        if name in METHODS:
            continue
        try:
            jax.eval_shape(make(problem.model, problem.loss), *problem.arguments("float32"))
            compiled = True
        except jax.errors.JAXTypeError:  # it is written in NumPy
            compiled = False
        METHODS[name] = Method(functools.partial(_made, make), compiled=compiled)


def _made(make: Callable[..., ValueAndGrad], problem: Problem) -> ValueAndGrad:
    return make(problem.model, problem.loss)


# By method and type: what gives ((loss, logits), gradient), to be called inside `precision`.
Trials = dict[tuple[str, str], Callable[[], Any]]


class LeftOut(NamedTuple):
    """A method that was not tried, and why."""

    place: Place
    method: str
    dtype: str
    reason: str


def precision(dtype: str) -> Any:
    """The context in which JAX computes in `dtype`."""
    return jax.enable_x64(dtype == "float64")


def ready(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """What calls `function` and waits for its result; to be called inside `precision`."""
    return lambda: jax.block_until_ready(function(*arguments))  # type: ignore[no-untyped-call]


def forward_pass(problem: Problem, dtype: str) -> Callable[[], Any]:
    """The loss alone, compiled by XLA."""
    mean_loss = gradients.make_mean_loss(problem.model, problem.loss)
    return ready(jax.jit(mean_loss), *problem.arguments(dtype))


def make_trials(
    problem: Problem, methods: Sequence[str], dtypes: Sequence[str], limit: float
) -> tuple[Trials, list[LeftOut]]:
    """Every method in every type at one problem, but what is predicted to take over `limit` s."""
    trials: Trials = {}
    left_out = []
    for name in methods:
        method = METHODS[name]
        reasons = {dtype: _why_not(problem, method, dtype, limit) for dtype in dtypes}
        left_out += [LeftOut(problem.place, name, *item) for item in reasons.items() if item[1]]
        if not all(reasons.values()):
            value_and_grad = method.make(problem)
            function = jax.jit(value_and_grad) if method.compiled else value_and_grad
            for dtype in [dtype for dtype in dtypes if not reasons[dtype]]:
                trials[name, dtype] = ready(function, *problem.arguments(dtype, method.compiled))
    return trials, left_out


def _why_not(problem: Problem, method: Method, dtype: str, limit: float) -> str:
    if reason := method.why_not(problem):
        return reason
    if dtype not in method.dtypes:
        return f"runs in {' and '.join(method.dtypes)} only"
    if not method.passes:
        return ""
    passes, forward = method.passes * problem.place.parameters, forward_pass(problem, dtype)
    with precision(dtype):
        forward()
        seconds = passes * measure(forward, limit / 100, least=3).seconds
    return f"{passes:,} forward passes, about {seconds:,.0f} s" if seconds > limit else ""


Step = Callable[[Hyperparameters, TrainState, Dataset], Any]


def training_step(
    problem: Problem, value_and_grad: ValueAndGrad, dtype: str, compiled: bool = True
) -> tuple[Step, tuple[Hyperparameters, TrainState, Dataset]]:
    """An update by a gradient, and its first arguments.

    It is the library's own, not yet compiled; with a gradient in NumPy, plain gradient descent.
    """
    config, numbers = problem.config, hyperparameters(problem.config)
    training = make_training(config, problem.image_shape, problem.num_classes, value_and_grad)
    with precision(dtype):
        state = training.start(numbers, problem.arguments(dtype, compiled)[0])

    def descend(numbers: Hyperparameters, state: TrainState, batch: Dataset) -> Any:
        images = batch.images.astype(dtype) / 255
        _, gradient = value_and_grad(state.params, images, batch.labels)
        rate = numbers.learning_rate.astype(dtype)
        params = jax.tree.map(lambda p, g: p - rate * g, state.params, gradient)
        return state._replace(params=params), None

    return training.train_step if compiled else descend, (numbers, state, problem.batch)


def can_train(name: str, config: Config) -> bool:
    """Whether an update by this method is what the Config says: NumPy knows plain descent alone."""
    terms = [field.name for field in dataclasses.fields(Config) if "neutral" in field.metadata]
    plain = (config.optimizer, config.schedule) == ("sgd", "constant")
    return METHODS[name].compiled or (plain and not any(getattr(config, term) for term in terms))
