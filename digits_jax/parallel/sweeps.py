"""Many runs as few compiled programs, spread over the devices of a mesh.

Settings that are only numbers inside a program (the fields of `Hyperparameters`) share a program;
settings that change shapes need one for each value.
"""

import dataclasses
import functools
import itertools
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from digits_jax import layers
from digits_jax.config import NEUTRAL, Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import Metrics
from digits_jax.optimizers import NUMBERS
from digits_jax.parallel.mesh import gather, make_mesh, put, smallest
from digits_jax.training import TrainMetrics, TrainState, make_training

LANES = "lanes"
# Long enough that Python is idle, short enough that a killed sweep loses little.
CPU_CHUNK = 4
MEMORY_SHARE = 0.8
BY_LANE, COPIED = PartitionSpec(LANES), PartitionSpec()  # type: ignore[no-untyped-call]
Data = tuple[Dataset, Dataset, Dataset]
Curves = tuple[TrainMetrics, Metrics | None]


class Outcome(NamedTuple):
    """The figures of a run with its final parameters, and those of each of its epochs.

    `train_loss` and `train_accuracy` are means over the last epoch, each batch before its update.
    Validation figures are `None` without validation images; `validation_curve` also where nobody
    asked for it. Of the curves, [runs, epochs], the first `epochs` entries are the run's.
    """

    train_loss: Float[Array, "*runs"]
    train_accuracy: Float[Array, "*runs"]
    validation_loss: Float[Array, "*runs"] | None
    validation_errors: Int[Array, "*runs"] | None
    test_loss: Float[Array, "*runs"]
    test_errors: Int[Array, "*runs"]
    epochs: Int[Array, "*runs"]
    curve: TrainMetrics
    validation_curve: Metrics | None


def combinations(
    config: Config,
    varied: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
) -> list[Config]:
    """Every setting with every seed: seeds vary fastest.

    Args:
        config: what is not varied.
        varied: the values of each varied field, of which every combination is a setting; or the
            settings themselves.
        seeds: of each setting.

    Raises:
        ValueError: in one line, where a field is unknown, a value is out of range, or a combination
            cannot run.
    """
    if config.shards > 1:
        raise ValueError(
            f"shards={config.shards}: a sweep gives every device runs of its own: type --shards=1"
        )
    if isinstance(varied, Mapping):
        varied = [
            dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())
        ]
    fields = {field.name for field in dataclasses.fields(Config)} - {"seed", "shards"}
    if unknown := set().union(*varied) - fields:
        raise ValueError(
            f"cannot vary {', '.join(sorted(unknown))}: known are {', '.join(sorted(fields))}"
        )
    return [
        dataclasses.replace(config, **setting, seed=seed) for setting in varied for seed in seeds
    ]


def common(config: Config) -> Config:
    """The Config with its traced numbers replaced: equal for runs that share a program."""
    numbers = {name: getattr(Config, name) for name in NEUTRAL}
    if config.judge == "average":  # which needs one
        numbers["average"] = 0.5
    for name in NUMBERS:  # left to optax, or given
        numbers[name] = 0.5 if getattr(config, name) else 0.0
    return dataclasses.replace(config, **numbers)


def by_program(configs: Sequence[Config]) -> list[list[int]]:
    """The runs that share a program, as indices into `configs`."""
    shared: dict[Config, list[int]] = {}
    for index, config in enumerate(configs):
        shared.setdefault(common(config), []).append(index)
    return list(shared.values())


def stack(configs: Sequence[Config]) -> Hyperparameters:
    """The numbers of several runs, as arrays [runs]; `None` where no run uses a term."""
    columns = zip(*map(hyperparameters, configs), strict=True)
    return Hyperparameters(
        *(
            None
            if all(value is None for value in column)
            else np.stack([np.float32(NEUTRAL[name]) if v is None else v for v in column])
            for name, column in zip(NEUTRAL, columns, strict=True)
        )
    )


def make_sweep(
    config: Config,
    splits: Splits,
    mesh: Mesh,
    vectorised: bool,
    validation_curves: bool = False,
    gradient_norms: bool = False,
) -> jax.stages.Wrapped:
    """The program of many runs: outcomes from numbers, counts and data, and the epochs to train.

    Numbers are [runs], as many on each device; counts, [devices], say how many of them each device
    trains, from its first on. The remaining slots are padding. The epochs are a number inside the
    program, by default those of `config`. The same program is given again where the arguments
    differ only in numbers.

    Args:
        config: what the runs have in common.
        splits: the data, for their shapes.
        mesh: one axis, `lanes`, over the devices.
        vectorised: whether a device trains its runs side by side (`vmap`, which fills a GPU) or one
            after another (on a CPU core, `vmap` over small networks gains nothing).
        validation_curves: whether validation images are scored after every epoch.
        gradient_norms: whether curves hold the norm of each layer's gradient.
    """
    choices = ((each.metadata.get("choices"), each.name) for each in dataclasses.fields(config))
    # An entry that a user registers again under its name makes another program.
    entries = [
        table[getattr(config, name)] for table, name in choices if isinstance(table, Mapping)
    ]
    options = (mesh, vectorised, validation_curves, gradient_norms)
    shapes = (splits.image_shape, splits.num_classes)
    return _make_sweep(common(config), *shapes, *options, (*entries, *layers.WORDS.values()))


@functools.lru_cache(maxsize=32)
def _make_sweep(
    config: Config,
    image_shape: tuple[int, int],
    num_classes: int,
    mesh: Mesh,
    vectorised: bool,
    validation_curves: bool,
    gradient_norms: bool,
    entries: tuple[Any, ...],
) -> jax.stages.Wrapped:
    training = make_training(config, image_shape, num_classes, gradient_norms=gradient_norms)

    def one(numbers: Hyperparameters, data: Data, until: Int[Array, ""]) -> Outcome:
        train, validation_set, test_set = data
        watched = config.watches_validation or (validation_curves and len(validation_set.labels))

        def epoch(state: TrainState) -> tuple[TrainState, Curves]:
            state, metrics = training.epoch(numbers, state, train)
            if not watched:
                return state, (metrics, None)
            scored = training.evaluate(state.current, validation_set)
            return training.keep_best(state, scored), (metrics, scored)

        def unfinished(carry: tuple[TrainState, Curves]) -> Array:
            left = carry[0].step < until * config.steps_per_epoch
            return left & ~training.out_of_patience(carry[0])

        def next_epoch(carry: tuple[TrainState, Curves]) -> tuple[TrainState, Curves]:
            number = carry[0].step // config.steps_per_epoch
            state, now = epoch(carry[0])
            return state, jax.tree.map(lambda every, one: every.at[number].set(one), carry[1], now)

        state = training.init(numbers)
        blank = jax.tree.map(
            lambda figure: jnp.zeros((config.epochs, *figure.shape), figure.dtype),
            jax.eval_shape(epoch, state)[1],
        )
        state, (curve, scored) = jax.lax.while_loop(unfinished, next_epoch, (state, blank))
        epochs, validation = state.step // config.steps_per_epoch, None
        if len(validation_set.labels):
            validation = training.evaluate(state.judged, validation_set)
        test = training.evaluate(state.judged, test_set)
        return Outcome(
            train_loss=curve.loss[epochs - 1],
            train_accuracy=curve.accuracy[epochs - 1],
            validation_loss=validation and validation.loss,
            validation_errors=validation and validation.errors,
            test_loss=test.loss,
            test_errors=test.errors,
            epochs=epochs,
            curve=curve,
            validation_curve=scored,
        )

    def lane(
        numbers: Hyperparameters, counts: Int[Array, "1"], data: Data, until: Int[Array, ""]
    ) -> Outcome:
        if vectorised:
            outcomes: Outcome = jax.vmap(one, in_axes=(0, None, None))(numbers, data, until)
            return outcomes

        def of(run: Any) -> Outcome:
            return one(jax.tree.map(operator.itemgetter(run), numbers), data, until)

        def train(run: Any, outcomes: Outcome) -> Outcome:
            stored: Outcome = jax.tree.map(
                lambda every, one: every.at[run].set(one), outcomes, of(run)
            )
            return stored

        blank = jax.tree.map(
            lambda figure: jnp.zeros((len(numbers.seed), *figure.shape), figure.dtype),
            jax.eval_shape(of, 0),
        )
        outcomes = jax.lax.fori_loop(0, counts[0], train, blank)
        return outcomes

    specs = (BY_LANE, BY_LANE, COPIED, COPIED)
    # Lanes share nothing but the data: there is no replication to check.
    spread = jax.shard_map(lane, mesh=mesh, in_specs=specs, out_specs=BY_LANE, check_vma=False)

    def runs(
        numbers: Hyperparameters, counts: Any, data: Data, until: Any = config.epochs
    ) -> Outcome:
        outcomes: Outcome = spread(numbers, counts, data, jnp.int32(until))
        return outcomes

    return jax.jit(runs)


def auto_chunk(configs: Sequence[Config], splits: Splits) -> int:
    """Runs that a device should train in one call: few on a CPU, as many as fit elsewhere."""
    memory = jax.local_devices()[0].memory_stats()
    if jax.default_backend() == "cpu" or memory is None:
        return CPU_CHUNK
    free_bytes = memory["bytes_limit"] - memory["bytes_in_use"]
    return smallest(fitting_chunk(configs, splits, free_bytes))


def fitting_chunk(configs: Sequence[Config], splits: Splits, free_bytes: int) -> int:
    """The most runs side by side whose program takes up to `MEMORY_SHARE` of `free_bytes`.

    The memory of a program grows by the same amount for each run; two compiled ones tell it.
    """

    def program_bytes(runs: int) -> int:
        numbers = stack([configs[0]] * runs)
        program = make_sweep(configs[0], splits, make_mesh(LANES, 1, here=True), vectorised=True)
        data = (splits.train, splits.validation, splits.test)
        memory: Any = program.lower(numbers, np.array([runs]), data).compile().memory_analysis()
        return int(
            memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
        )

    few, many = 8, 24
    bytes_of_few = program_bytes(few)
    each = max((program_bytes(many) - bytes_of_few) / (many - few), 1.0)
    common = bytes_of_few - few * each
    return max(1, int((MEMORY_SHARE * free_bytes - common) / each))


def sweep(
    configs: Sequence[Config],
    splits: Splits,
    chunk: int | None = None,
    until: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
    **options: bool,
) -> Iterator[tuple[list[int], Outcome, float]]:
    """Trains runs that share a program, `chunk` on each device of all processes at a time.

    Args:
        configs: of one program, in the order to run them.
        splits: their data.
        chunk: runs that a device trains in one call; `None` for `auto_chunk`.
        until: the epoch to end at; by default the last.
        tell: is told what goes on before the first call.
        options: `validation_curves` and `gradient_norms`, as in `make_sweep`.

    Yields:
        As each call ends: the indices into `configs` of its runs, their outcomes, [runs], and the
        seconds it took, compilation not counted.
    """
    mesh = make_mesh(LANES)
    vectorised = jax.default_backend() != "cpu"
    numbers = stack(configs)
    chunk = auto_chunk(configs, splits) if chunk is None else chunk
    at_once = min(chunk, -(-len(configs) // mesh.size)) * mesh.size
    places = at_once // mesh.size
    if not vectorised:
        # XLA makes no loop of a single place, but a program with other last bits; and all sweeps
        # of up to `chunk` runs on a device share a program.
        places = max(2, chunk)
    program: Any = make_sweep(configs[0], splits, mesh, vectorised, **options)
    copied = NamedSharding(mesh, COPIED)
    data = put((splits.train, splits.validation, splits.test), copied)
    last = put(np.int32(configs[0].epochs if until is None else until), copied)
    for start in range(0, len(configs), at_once):
        indices = list(range(start, min(start + at_once, len(configs))))
        # Spread evenly. Places that stay empty hold the first run: every call is of one shape.
        lane, place = np.divmod(np.arange(len(indices)), -(-len(indices) // mesh.size))
        slots = lane * places + place
        rows = np.full(places * mesh.size, start)
        rows[slots] = indices
        counts = np.bincount(lane, minlength=mesh.size)
        chosen = put(
            (jax.tree.map(operator.itemgetter(rows), numbers), counts), NamedSharding(mesh, BY_LANE)
        )
        if start == 0:
            tell("compiling")
            leaves, structure = jax.tree.flatten((*chosen, data, last))
            compiled = _compiled(program, structure, tuple(map(_shape, leaves)))
            tell("")
        started = time.perf_counter()
        outcome = gather(compiled(*chosen, data, last))
        seconds = time.perf_counter() - started
        yield indices, jax.tree.map(operator.itemgetter(slots), outcome), seconds


def _shape(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)  # type: ignore[no-untyped-call]


@functools.lru_cache(maxsize=32)
def _compiled(program: Any, structure: Any, shapes: tuple[Any, ...]) -> Callable[..., Outcome]:
    arguments = jax.tree.unflatten(structure, shapes)
    compiled: Callable[..., Outcome] = program.lower(*arguments).compile()
    return compiled
