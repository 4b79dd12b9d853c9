"""Table 2: training by each method from the same start on the same batches, and how far apart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax.config import Config, hyperparameters
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import make_evaluate
from digits_jax.losses import LOSSES
from digits_jax.models import Layer
from digits_jax.training import make_training
from experiments.comparison.methods import METHODS, precision, start
from experiments.comparison.problem import Problem, batch_rows, make_problem
from experiments.peers import numpy_vectorised

METHODS_COMPARED = ("manual", "numpy")
MARKS = (1, 10, 100, 1_000)
# In float64, after an epoch of the classic run.
BOUND = 1e-9


class Row(NamedTuple):
    """The Euclidean distance of all parameters from those of a reference, after `step` updates."""

    method: str
    dtype: str
    reference: str
    step: int
    distance: float


class EndRow(NamedTuple):
    """Errors on the test split after the last update."""

    method: str
    dtype: str
    steps: int
    steps_per_epoch: int
    test_errors: int
    test_size: int


def steps_recorded(config: Config) -> list[int]:
    """About twenty steps a decade, the marks, the end of an epoch and the last step among them."""
    last = max(config.steps_per_epoch, MARKS[-1])
    curve = np.geomspace(1, last, 20 * len(str(last))).round().astype(int).tolist()
    return sorted({*curve, *MARKS, config.steps_per_epoch, last})


def rows(
    config: Config, splits: Splits, methods: Sequence[str], dtypes: Sequence[str]
) -> tuple[list[Row], list[EndRow]]:
    """Trains for an epoch, and for no less than the last mark.

    The reference of a type is autodiff in that type; that of autodiff in float32 is float64, so
    that the distance between methods can be read beside what rounding alone does.

    Args:
        config: the run.
        splits: its data.
        methods: those of `METHODS_COMPARED` among them are compared with autodiff.
        dtypes: float32 and float64 among them are trained in.
    """
    recorded = steps_recorded(config)
    names = ["autodiff"] + [
        name for name in METHODS_COMPARED if name in methods and METHODS[name].available(config)
    ]
    found, ends, paths = [], [], {}
    problem = make_problem(config, splits)
    evaluate = jax.jit(make_evaluate(problem.model, LOSSES[config.loss]))
    for dtype in [dtype for dtype in ("float64", "float32") if dtype in dtypes]:
        with precision(dtype):
            for name in names:
                paths[name, dtype] = path = _train(problem, splits.train, name, dtype)
                errors = int(evaluate(jax.device_put(path[recorded[-1]]), splits.test).errors)
                ends.append(
                    EndRow(
                        name,
                        dtype,
                        recorded[-1],
                        config.steps_per_epoch,
                        errors,
                        len(splits.test.labels),
                    )
                )
        pairs = [((name, dtype), ("autodiff", dtype)) for name in names if name != "autodiff"]
        if ("autodiff", "float64") in paths and dtype == "float32":
            pairs.append((("autodiff", "float32"), ("autodiff", "float64")))
        for (name, _), reference in pairs:
            for step in recorded:
                far = distance(paths[name, dtype][step], paths[reference][step])
                found.append(Row(name, dtype, " ".join(reference), step, far))
    return found, ends


def distance(params: Any, reference: Any) -> float:
    """The Euclidean distance of two sets of parameters, computed in float64."""
    squares = jax.tree.map(
        lambda p, r: np.sum((np.asarray(p, np.float64) - np.asarray(r, np.float64)) ** 2),
        params,
        reference,
    )
    return float(np.sqrt(sum(jax.tree.leaves(squares))))


def _train(
    problem: Problem, train: Dataset, method: str, dtype: str
) -> dict[int, tuple[Layer, ...]]:
    """The parameters after each of the steps recorded, as NumPy arrays."""
    config, compiled = problem.config, METHODS[method].compiled
    params, _, _ = problem.arguments(dtype, compiled)
    step = (_compiled_step if compiled else _numpy_step)(problem, method, params)
    recorded, path = steps_recorded(config), {}
    for index, rows in enumerate(batch_rows(config, recorded[-1]), start=1):
        params = step(Dataset(train.images[rows], train.labels[rows]))
        if index in recorded:
            path[index] = jax.tree.map(np.asarray, tuple(Layer(*layer) for layer in params))
    return path


Step = Callable[[Dataset], Any]


def _compiled_step(problem: Problem, method: str, params: Any) -> Step:
    config = problem.config
    value_and_grad = METHODS[method].make(config, problem.model)
    training = make_training(config, problem.image_shape, problem.num_classes, value_and_grad)
    state, numbers = start(training, config, params), hyperparameters(config)
    train_step = jax.jit(training.train_step)

    def step(batch: Dataset) -> Any:
        nonlocal state
        state, _ = train_step(numbers, state, batch)
        return state.params

    return step


def _numpy_step(problem: Problem, method: str, params: Any) -> Step:
    config = problem.config
    # What the compiled step is given: a float32, in either type.
    rate = float(hyperparameters(config).learning_rate)
    params = list(params)

    def step(batch: Dataset) -> Any:
        nonlocal params
        params = numpy_vectorised.train_step(params, *batch, rate, config.activation, config.loss)
        return params

    return step
