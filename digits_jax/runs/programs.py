"""The compiled programs of a run, and the epochs that they make."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import psutil
from jax.sharding import Sharding

from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import Evaluate, Metrics
from digits_jax.parallel.data_parallel import make_placed_training, padded
from digits_jax.parallel.mesh import put
from digits_jax.runs.history import Row
from digits_jax.training import TrainMetrics, TrainState, make_training


class Programs(NamedTuple):
    """The compiled programs of a run, and the ways to send them what they read.

    `put` is for numbers and states, whose memory may then be written over; `put_split` for splits.
    `seconds` is what compiling them took.
    """

    init: Callable[[Hyperparameters], TrainState]
    epoch: Callable[[Hyperparameters, TrainState, Dataset], tuple[TrainState, TrainMetrics]]
    evaluate_validation: Evaluate | None
    evaluate_test: Evaluate
    put: Callable[[Any], Any]
    put_split: Callable[[Dataset], Dataset]
    seconds: float
    keep_best: Callable[[TrainState, Metrics], TrainState]
    out_of_patience: Callable[[TrainState], Any]


class Epoch(NamedTuple):
    """What an epoch leaves: the state after it, its row, and norms where they were asked for.

    `evaluate_seconds` is what scoring the validation images took; `stopping` says that the run is
    to stop after it, before its end.
    """

    state: TrainState
    row: Row
    gradient_norms: tuple[float, ...] | None
    evaluate_seconds: float
    stopping: bool = False


def state_template(config: Config, splits: Splits) -> TrainState:
    """The shapes of a run's state."""
    training = make_training(config, splits.image_shape, splits.num_classes)
    state: TrainState = jax.eval_shape(training.init, hyperparameters(config))
    return state


def check_memory(config: Config, image_shape: tuple[int, int], num_classes: int) -> None:
    """Checks, before anything is compiled, that a CPU's memory holds a state and one gradient.

    Raises:
        ValueError: in one line, which says how much it takes.
    """
    training = make_training(config, image_shape, num_classes)
    state = jax.eval_shape(training.init, hyperparameters(config))
    leaves = jax.tree.leaves((state.params, state.params, state.opt_state))
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves) / 2**30
    there = psutil.virtual_memory().total / 2**30
    if jax.default_backend() == "cpu" and needed > there:
        raise ValueError(
            f"parameters, their gradient and the optimizer's state take {needed:,.0f} GiB of "
            f"memory, and there are {there:,.0f}: choose a smaller network"
        )


def compile_programs(config: Config, splits: Splits, gradient_norms: bool = False) -> Programs:
    """Compiles a run ahead of time, so that compile time and training time can be told apart.

    A run of several shards is for the first `config.shards` devices, each with its part of every
    split; that of one, for the first device.
    """
    started = time.perf_counter()
    check_memory(config, splits.image_shape, splits.num_classes)
    training, copied, by_shard = make_placed_training(
        config, splits.image_shape, splits.num_classes, gradient_norms
    )

    def shapes(tree: Any, sharding: Sharding | None) -> Any:
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding),  # type: ignore[no-untyped-call]
            tree,
        )

    numbers = shapes(hyperparameters(config), copied)
    state = shapes(jax.eval_shape(training.init, numbers), copied)
    evaluate = jax.jit(training.evaluate)

    def evaluation(split: Dataset) -> Evaluate:
        split = shapes(padded(split, config.shards), by_shard)
        return evaluate.lower(state.current, split).compile()

    evaluate_test, images = evaluation(splits.test), len(splits.validation.labels)
    same = images == len(splits.test.labels)
    epoch = jax.jit(training.epoch, donate_argnums=1)
    return Programs(
        init=jax.jit(training.init, out_shardings=copied).lower(numbers).compile(),
        epoch=epoch.lower(numbers, state, shapes(splits.train, by_shard)).compile(),
        evaluate_validation=evaluate_test
        if same
        else evaluation(splits.validation)
        if images
        else None,
        evaluate_test=evaluate_test,
        put=lambda tree: put(tree, copied),
        put_split=lambda split: put(padded(split, config.shards), by_shard),
        seconds=time.perf_counter() - started,
        keep_best=jax.jit(training.keep_best, donate_argnums=0, out_shardings=copied),
        out_of_patience=jax.jit(training.out_of_patience),
    )


def epochs(
    config: Config,
    splits: Splits,
    programs: Programs,
    state: TrainState,
    done: int = 0,
) -> Iterator[Epoch]:
    """Trains, an epoch at each turn: Python is entered once an epoch.

    Args:
        config: the run.
        splits: its data.
        programs: its compiled programs.
        state: where to begin, on the device; its memory is written over.
        done: the epochs that led to `state`.
    """
    # All that the run reads, sent once: inside the loop nothing goes to the device.
    numbers = programs.put(hyperparameters(config))
    train_set, validation_set = map(programs.put_split, (splits.train, splits.validation))
    for epoch in range(done + 1, config.epochs + 1):
        if config.patience and programs.out_of_patience(state):
            return
        with jax.profiler.StepTraceAnnotation("epoch", step_num=epoch):
            started = time.perf_counter()
            state, metrics = programs.epoch(numbers, state, train_set)
            metrics.loss.block_until_ready()
            seconds = time.perf_counter() - started
        started = time.perf_counter()
        validation = None
        if programs.evaluate_validation:
            validation = programs.evaluate_validation(state.current, validation_set)
            if config.watches_validation:
                state = programs.keep_best(state, validation)
        step, metrics, validation = jax.device_get((state.step, metrics, validation))
        evaluate_seconds = time.perf_counter() - started
        row = Row(
            epoch=epoch,
            step=int(step),
            train_loss=decimal(metrics.loss),
            train_accuracy=decimal(metrics.accuracy),
            validation_loss=decimal(validation.loss) if validation else None,
            validation_accuracy=accuracy(validation, splits.validation) if validation else None,
            learning_rate=decimal(metrics.learning_rate),
            seconds=round(seconds, 6),
        )
        norms = metrics.gradient_norms
        yield Epoch(state, row, norms and tuple(map(float, norms)), evaluate_seconds)


def decimal(scalar: Any) -> float:
    """A float32 as the shortest decimal that names it: 0.1, not 0.10000000149011612."""
    return float(str(scalar))


def accuracy(metrics: Metrics, dataset: Dataset) -> float:
    """The share classified right, from the counts: float32 would round it."""
    return (len(dataset.labels) - int(metrics.errors)) / len(dataset.labels)
