"""Many runs as few compiled programs, spread over the devices of a mesh.

What is only a number inside a program (a field of `Hyperparameters`) varies within one program;
what shapes it takes a program for each value.
"""

import dataclasses
import itertools
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from digits_jax.config import NEUTRAL, Config, Hyperparameters, hyperparameters
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.parallel.mesh import gather, make_mesh, put, smallest
from digits_jax.training import make_training

LANES = "lanes"
# Long enough that Python is idle, short enough that a killed sweep loses little.
CPU_CHUNK = 4
MEMORY_SHARE = 0.8
BY_LANE, COPIED = PartitionSpec(LANES), PartitionSpec()  # type: ignore[no-untyped-call]


class Outcome(NamedTuple):
    """Of a run, with its final parameters; validation figures are `None` without such images.

    `train_loss` and `train_accuracy` are means over the last epoch, each batch before its update.
    """

    train_loss: Float[Array, "*runs"]
    train_accuracy: Float[Array, "*runs"]
    validation_loss: Float[Array, "*runs"] | None
    validation_errors: Int[Array, "*runs"] | None
    test_loss: Float[Array, "*runs"]
    test_errors: Int[Array, "*runs"]


def combinations(
    config: Config, varied: Mapping[str, Sequence[Any]], seeds: Sequence[int]
) -> list[Config]:
    """Every combination of the varied settings, each with every seed: seeds vary fastest.

    Raises:
        ValueError: in one line, where a field is unknown, a value is out of range, or a combination
            cannot run.
    """
    if config.shards > 1:
        raise ValueError(
            f"shards={config.shards}: a sweep gives every device runs of its own, shards=1"
        )
    fields = {field.name for field in dataclasses.fields(Config)} - {"seed", "shards"}
    unknown = varied.keys() - fields
    if unknown:
        raise ValueError(
            f"cannot vary {', '.join(sorted(unknown))}: known are {', '.join(sorted(fields))}"
        )
    return [
        dataclasses.replace(config, **dict(zip(varied, values, strict=True)), seed=seed)
        for values in itertools.product(*varied.values())
        for seed in seeds
    ]


def by_program(configs: Sequence[Config]) -> list[list[int]]:
    """The runs that share a program, as indices into `configs`."""
    shared: dict[Config, list[int]] = {}
    for index, config in enumerate(configs):
        defaults = {name: getattr(Config, name) for name in NEUTRAL}
        shared.setdefault(dataclasses.replace(config, **defaults), []).append(index)
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


Data = tuple[Dataset, Dataset, Dataset]


def make_sweep(config: Config, splits: Splits, mesh: Mesh, vectorised: bool) -> jax.stages.Wrapped:
    """The program of many runs: outcomes from numbers, counts and data.

    Numbers are [runs], as many on each device; counts, [devices], say how many of them each device
    is to train, from its first on. Those after them give nothing of use.

    Args:
        config: what the runs have in common.
        splits: the data, for their shapes.
        mesh: one axis, `lanes`, over the devices.
        vectorised: whether a device trains its runs side by side (`vmap`, which fills a GPU) or one
            after another (on a CPU core, `vmap` over small networks gains nothing).
    """
    training = make_training(config, splits.image_shape, splits.num_classes)

    def one(numbers: Hyperparameters, data: Data) -> Outcome:
        train, validation_set, test_set = data
        watched = validation_set if config.watches_validation else None
        state, (history, _) = training.run(numbers, train, watched)
        validation = None
        if len(validation_set.labels):
            validation = training.evaluate(state.judged, validation_set)
        test = training.evaluate(state.judged, test_set)
        return Outcome(
            train_loss=history.loss[-1],
            train_accuracy=history.accuracy[-1],
            validation_loss=validation and validation.loss,
            validation_errors=validation and validation.errors,
            test_loss=test.loss,
            test_errors=test.errors,
        )

    def lane(numbers: Hyperparameters, counts: Int[Array, "1"], data: Data) -> Outcome:
        if vectorised:
            outcomes: Outcome = jax.vmap(one, in_axes=(0, None))(numbers, data)
            return outcomes

        def of(run: Any) -> Outcome:
            return one(jax.tree.map(operator.itemgetter(run), numbers), data)

        def train(run: Any, outcomes: Outcome) -> Outcome:
            stored: Outcome = jax.tree.map(
                lambda every, one: every.at[run].set(one), outcomes, of(run)
            )
            return stored

        def blank(figure: jax.ShapeDtypeStruct) -> Any:
            zeros = jnp.zeros((len(numbers.seed), *figure.shape), figure.dtype)
            return jax.lax.pcast(zeros, LANES, to="varying")

        outcomes = jax.tree.map(blank, jax.eval_shape(of, 0))
        outcomes = jax.lax.fori_loop(0, counts[0], train, outcomes)
        return outcomes

    # jax 0.10.2 gives vmap's choice between two states the axes of neither.
    check = not (vectorised and config.watches_validation)
    data_specs = (BY_LANE, BY_LANE, COPIED)
    return jax.jit(
        jax.shard_map(lane, mesh=mesh, in_specs=data_specs, out_specs=BY_LANE, check_vma=check)
    )


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
    configs: Sequence[Config], splits: Splits, chunk: int | None = None
) -> Iterator[tuple[list[int], Outcome, float]]:
    """Trains runs that share a program, `chunk` on each device of all processes at a time.

    Args:
        configs: of one program, in the order to run them.
        splits: their data.
        chunk: runs that a device trains in one call; `None` for `auto_chunk`.

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
    if not vectorised:  # XLA makes no loop of a single place, but a program with other last bits
        places = max(2, places)
    program = make_sweep(configs[0], splits, mesh, vectorised)
    data = put((splits.train, splits.validation, splits.test), NamedSharding(mesh, COPIED))
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
            compiled = program.lower(*chosen, data).compile()
        started = time.perf_counter()
        outcome = gather(compiled(*chosen, data))
        seconds = time.perf_counter() - started
        yield indices, jax.tree.map(operator.itemgetter(slots), outcome), seconds
