"""Training by each method from the same start on the same batches, and how far apart they get."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.data.dataset import Dataset
from digits_jax.evaluation import make_evaluate
from experiments.comparison.methods import METHODS, can_train, precision, training_step
from experiments.comparison.problem import Problem, batch_rows

METHODS_COMPARED = ("manual", "numpy")
MARKS = (1, 10, 100, 1_000)
# In float64, after an epoch of the classic run.
BOUND = 1e-9


class Distance(NamedTuple):
    """The Euclidean distance of all parameters from those of a reference, after `step` updates.

    Test errors are those after the last update.
    """

    method: str
    dtype: str
    reference: str
    step: int
    distance: float
    test_errors: int


def steps_recorded(config: Config) -> list[int]:
    """About twenty steps a decade, the marks, the end of an epoch and the last step among them."""
    last = max(config.steps_per_epoch, MARKS[-1])
    curve = np.geomspace(1, last, 20 * len(str(last))).round().astype(int).tolist()
    return sorted({*curve, *MARKS, config.steps_per_epoch, last})


def rows(
    problem: Problem, splits: Splits, methods: Sequence[str], dtypes: Sequence[str]
) -> list[Distance]:
    """Trains by autodiff and by what is compared for an epoch, and for no less than the last mark.

    The reference of a type is autodiff in that type; that of autodiff itself is autodiff in
    float64, so that the distance between methods can be read beside what rounding alone does.
    """
    names = [
        name
        for name in METHODS_COMPARED
        if name in methods
        and not METHODS[name].why_not(problem)
        and can_train(name, problem.config)
    ]
    evaluate = jax.jit(make_evaluate(problem.model, problem.loss))
    found, paths = [], {}
    for dtype in [dtype for dtype in ("float64", "float32") if dtype in dtypes]:
        for name in ("autodiff", *names):
            with precision(dtype):
                path, judged = _train(problem, splits.train, name, dtype)
                errors = int(evaluate(jax.device_put(judged), splits.test).errors)
            paths[name, dtype] = path
            exact = ("autodiff", "float64") if name == "autodiff" else ("autodiff", dtype)
            reference = exact if exact in paths else ("autodiff", dtype)
            found += [
                Distance(name, dtype, " ".join(reference), step, far, errors)
                for step, params in path.items()
                for far in [distance(params, paths[reference][step])]
            ]
    return found


def distance(params: Any, reference: Any) -> float:
    """The Euclidean distance of two sets of parameters, computed in float64."""
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(reference), strict=True)
    return float(np.sqrt(sum(np.sum((p.astype(np.float64) - r) ** 2) for p, r in pairs)))


def _train(problem: Problem, train: Dataset, name: str, dtype: str) -> tuple[dict[int, Any], Any]:
    """The parameters after each of the steps recorded, as NumPy arrays; those that are judged."""
    method, config = METHODS[name], problem.config
    step, (numbers, state, _) = training_step(problem, method.make(problem), dtype, method.compiled)
    step = jax.jit(step) if method.compiled else step
    recorded, path = set(steps_recorded(config)), {}
    for index, rows in enumerate(batch_rows(config, max(recorded)), start=1):
        state, _ = step(numbers, state, Dataset(train.images[rows], train.labels[rows]))
        if index in recorded:
            path[index] = jax.tree.map(np.asarray, state.params)
    return path, state.judged
