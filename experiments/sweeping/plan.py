"""What a sweep is to do, and where: checked before anything runs."""

import contextlib
import functools
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from digits_jax import data, runs
from digits_jax.config import Config
from digits_jax.parallel import distributed, sweeps
from digits_jax.parallel.distributed import Job
from digits_jax.runs import directories, identity
from digits_jax.runs.files import write_atomically
from digits_jax.runs.programs import check_memory
from digits_jax.runs.run import RESULTS_FILE, SWEEP_SUMMARY_FILE
from experiments.cli import devices, flags, job, start
from experiments.cli.flags import FLAGS
from experiments.sweeping import best, figures, results, vary

# Of a sweep; with the summary, and the best run before it, a sweep is finished.
FILES = (
    runs.FLAGS_FILE,
    RESULTS_FILE,
    *figures.PATTERNS,
    best.MODEL_FILE,
    best.FOLDER,
    SWEEP_SUMMARY_FILE,
)
SCRIPT = start.Script("sweep", "sweep", (runs.FLAGS_FILE, RESULTS_FILE), flags=("seeds", "vary"))


class Plan(NamedTuple):
    """The runs of a sweep, and those that are finished, by their index.

    In a job, process 0 alone has a directory. `rows` are what results.csv holds of each run before
    it is trained, by column, and `columns` all of them. `chunk` is the runs that a device trains in
    one call, `None` for auto.
    """

    directory: Path | None
    varied: dict[str, list[Any]]
    configs: list[Config]
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    chunk: int | None
    finished: list[int]


def prepare(held: contextlib.ExitStack, here: Job) -> Plan:
    """Checks all flags and data, and takes hold of the folder."""
    directory = start.begin(SCRIPT, here)
    devices.use_cpu_devices(auto=devices.cores())
    base, chunk = flags.config(), _chunk(FLAGS.chunk)
    varied = vary.parse(FLAGS.vary, base.seed)
    seeds = range(base.seed, base.seed + FLAGS.seeds)
    if (count := len(seeds) * math.prod(map(len, varied.values()))) > vary.MOST:
        raise ValueError(f"seeds={FLAGS.seeds}: {count} runs, and a sweep has at most {vary.MOST}")
    configs = sweeps.combinations(base, varied, seeds)
    for indices in sweeps.by_program(configs):
        config = configs[indices[0]]
        splits = load(config)
        check_memory(config, splits.image_shape, splits.num_classes)
        job.check_same_data(here, splits, indices[0])
    columns = ("run", *varied, "seed", *results.OUTCOME_COLUMNS, *results.MADE_WITH)
    rows = [
        {name: vary.text(getattr(config, name)) for name in (*varied, "seed")}
        | results.made_with(config, _data_sha256(**flags.data_settings(config)))
        for config in configs
    ]
    done: list[int] = []
    if here.is_primary:
        directory = directory or flags.workdir("sweep")
        held.enter_context(directories.locked(directory))
        if not FLAGS.resume:
            earlier = directory / directories.EARLIER
            if (directory / best.FOLDER).exists() and not (directory / RESULTS_FILE).exists():
                raise ValueError(f"{directory} holds {best.FOLDER} and no sweep: choose another")
            if FLAGS.overwrite and (
                (directory / SWEEP_SUMMARY_FILE).is_file() or not earlier.exists()
            ):
                directories.set_aside(directory, FILES)
            directories.clear(directory, FLAGS.overwrite, FILES)
            write_atomically(directory / runs.FLAGS_FILE, start.stored_flags(SCRIPT).encode())
        done = list(results.read_or_make(directory / RESULTS_FILE, columns, rows))
    done = json.loads(distributed.share(here, "finished", json.dumps(done)))
    return Plan(directory, varied, configs, columns, rows, chunk, done)


def load(config: Config) -> data.Splits:
    """The data of a run, read once for all runs that share it."""
    return _load(**flags.data_settings(config))


_load = functools.lru_cache(maxsize=2)(data.load)


@functools.cache
def _data_sha256(**settings: Any) -> str:
    return identity.data_sha256(_load(**settings))


def _chunk(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"chunk={text}: expected auto or a whole number of at least 1")
    return int(text)
