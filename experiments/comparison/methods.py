"""The ways to a gradient, each a `ValueAndGrad` behind one name, and which run at which size."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax import gradients
from digits_jax.activations import ACTIVATIONS
from digits_jax.config import Config, hyperparameters
from digits_jax.gradients import ValueAndGrad
from digits_jax.losses import LOSSES
from digits_jax.models import Layer, Model
from digits_jax.training import Training, TrainState, make_training
from experiments.comparison.problem import Problem
from experiments.peers import numpy_backprop, numpy_vectorised

DTYPES = ("float32", "float64", "bfloat16")


class Method(NamedTuple):
    """A way to a gradient.

    `make` gives its ValueAndGrad; `compiled` tells XLA from NumPy; `passes` is the number of
    forward passes that it takes for each parameter; `by_hand` tells whether somebody has to derive
    each activation.
    """

    description: str
    make: Callable[[Config, Model], ValueAndGrad]
    compiled: bool = True
    dtypes: tuple[str, ...] = DTYPES
    passes: int = 0
    by_hand: bool = False

    def available(self, config: Config) -> bool:
        """Whether somebody derived what it needs."""
        return not self.by_hand or ACTIVATIONS[config.activation].derivative is not None


def _peer(value_and_grad: Callable[..., Any]) -> Callable[[Config, Model], ValueAndGrad]:
    """A peer's gradient, which takes and gives plain tuples, as a ValueAndGrad of NumPy arrays."""

    def make(config: Config, model: Model) -> ValueAndGrad:
        def of_layers(params: Any, images: Any, labels: Any) -> Any:
            names = config.activation, config.loss
            value, grads = value_and_grad(list(params), images, labels, *names)
            return value, tuple(Layer(*layer) for layer in grads)

        return of_layers

    return make


PEERS = {
    "numpy": numpy_vectorised.value_and_grad,
    "numpy_loops": numpy_backprop.value_and_grad,
}
METHODS = {
    "autodiff": Method(
        "reverse mode: `jax.value_and_grad`",
        lambda config, model: gradients.autodiff(model, LOSSES[config.loss]),
    ),
    "manual": Method(
        "the four equations of back-propagation, in JAX",
        lambda config, model: gradients.manual(ACTIVATIONS[config.activation], LOSSES[config.loss]),
        by_hand=True,
    ),
    "numpy": Method(
        "the same in NumPy, vectorised over the batch",
        _peer(PEERS["numpy"]),
        compiled=False,
        dtypes=("float32", "float64"),
        by_hand=True,
    ),
    "numpy_loops": Method(
        "the same in NumPy, image by image, as first taught",
        _peer(PEERS["numpy_loops"]),
        compiled=False,
        dtypes=("float32", "float64"),
        by_hand=True,
    ),
    "forward_mode": Method(
        "forward mode: `jax.jvp` along every parameter",
        lambda config, model: gradients.forward_mode(model, LOSSES[config.loss]),
        passes=1,
    ),
    "finite_differences": Method(
        "central differences along every parameter",
        lambda config, model: gradients.finite_differences(model, LOSSES[config.loss]),
        dtypes=("float64",),
        passes=2,
    ),
}


class Trial(NamedTuple):
    """A method at one network, batch and type: its function and arguments, or why it is left out.

    `forward_seconds` is the median time of the loss alone, in the same type, compiled by XLA.
    """

    problem: Problem
    method: str
    dtype: str
    forward_seconds: float
    value_and_grad: ValueAndGrad | None = None
    arguments: tuple[Any, Any, Any] | None = None
    note: str = ""

    def gradient(self) -> Any:
        """The loss and its gradient, when they are there; to be called inside `precision`."""
        assert self.value_and_grad
        assert self.arguments
        return _wait(self.value_and_grad(*self.arguments))


def _wait(result: Any) -> Any:
    return jax.block_until_ready(result)  # type: ignore[no-untyped-call]


class Timing(NamedTuple):
    """A median of `n` times, in seconds."""

    median: float
    n: int


def precision(dtype: str) -> Any:
    """The context in which JAX computes in `dtype`."""
    return jax.enable_x64(dtype == "float64")


def measure(function: Callable[[], Any], seconds: float, warm: bool = False) -> Timing:
    """The median time of a call after a first one: of as many as fit into `seconds`, at least 3.

    Where even three take longer than ten times `seconds`, fewer.

    Args:
        function: what to call; it returns when its result is there.
        seconds: to spend.
        warm: whether a first call was made already.
    """
    if not warm:
        function()
    times: list[float] = []
    while not times or (spent := sum(times)) < seconds or (len(times) < 3 and spent < 10 * seconds):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return Timing(float(np.median(times)), len(times))


def make_trials(
    problem: Problem,
    methods: Sequence[str],
    dtypes: Sequence[str],
    seconds: float,
    limit: float,
) -> list[Trial]:
    """Every method in every type at one problem.

    Args:
        problem: the network and batch.
        methods: keys of `METHODS`.
        dtypes: among `DTYPES`.
        seconds: for measuring the forward pass.
        limit: methods whose gradient is predicted to take longer are left out, in seconds.
    """
    needed = {dtype for name in methods for dtype in METHODS[name].dtypes} & set(dtypes)
    forward = {dtype: _forward_seconds(problem, dtype, seconds) for dtype in sorted(needed)}
    trials = []
    for name in methods:
        method = METHODS[name]
        value_and_grad = None
        if method.available(problem.config):
            value_and_grad = method.make(problem.config, problem.model)
            value_and_grad = jax.jit(value_and_grad) if method.compiled else value_and_grad
        for dtype in dtypes:
            seconds_each = forward.get(dtype, 0.0)
            note = _why_not(problem, method, dtype, seconds_each, limit)
            arguments = None if note else problem.arguments(dtype, method.compiled)
            trials.append(
                Trial(problem, name, dtype, seconds_each, value_and_grad, arguments, note)
            )
    return trials


def _why_not(problem: Problem, method: Method, dtype: str, forward: float, limit: float) -> str:
    if not method.available(problem.config):
        return f"left out: no derivative of {problem.config.activation} written by hand"
    if dtype not in method.dtypes:
        return f"runs in {' and '.join(method.dtypes)} only"
    passes = method.passes * problem.parameters
    if passes * forward > limit:
        return f"left out: {passes:,} forward passes, about {passes * forward:,.0f} s"
    return ""


def _forward_seconds(problem: Problem, dtype: str, seconds: float) -> float:
    with precision(dtype):
        loss = gradients.make_mean_loss(problem.model, LOSSES[problem.config.loss])
        arguments, mean_loss = problem.arguments(dtype, True), jax.jit(loss)
        return measure(lambda: mean_loss(*arguments).block_until_ready(), seconds).median


def training_step(trial: Trial) -> Callable[[], Any]:
    """One whole update: grey levels to pixels, gradient, descent; to be called in `precision`.

    For what XLA compiles it is the library's own `train_step`, for NumPy that of the peer.
    """
    problem, config = trial.problem, trial.problem.config
    assert trial.arguments
    params = trial.arguments[0]
    if not METHODS[trial.method].compiled:
        return functools.partial(
            numpy_vectorised.train_step,
            list(params),
            *problem.batch,
            config.learning_rate,
            config.activation,
            config.loss,
            PEERS[trial.method],
        )
    training = make_training(config, problem.image_shape, problem.num_classes, trial.value_and_grad)
    state, numbers = start(training, config, params), hyperparameters(config)
    step, batch = jax.jit(training.train_step), jax.device_put(problem.batch)
    return lambda: _wait(step(numbers, state, batch))


def start(training: Training, config: Config, params: Any) -> TrainState:
    """The state before the first update of gradient descent from `params`."""
    # Its optimizer keeps no arrays: the shape of the initial state has everything else.
    shape: TrainState = jax.eval_shape(training.init, hyperparameters(config))
    return shape._replace(params=params, step=jax.numpy.int32(0), key=jax.random.key(config.seed))
