"""What a sweep is to do, and where: checked before anything runs."""

import contextlib
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

from digits_jax import data
from digits_jax.config import Config
from digits_jax.parallel import distributed, halving, sweeps
from digits_jax.parallel.distributed import Job
from digits_jax.results import OUTCOMES
from digits_jax.runs import directories, flags_file, identity
from digits_jax.runs.directories import BEST, CURVES_FILE, RESULTS_FILE
from digits_jax.runs.programs import check_memory
from experiments.cli import devices, flags, job, start
from experiments.cli.flags import FLAGS
from experiments.sweeping import results, vary

MADE_BY = ("seeds", "vary", "tune", "halving", "validation_curves", "gradient_norms")
SCRIPT = start.Script("sweep", "sweep", flags=MADE_BY)


class Plan(NamedTuple):
    """The runs of a sweep, and those that are finished.

    In a job, process 0 alone has a directory. `rows` are what results.csv holds of each run before
    it is trained, by column, and `columns` all of them. `chunk` is the runs that a device trains in
    one call, `None` for auto. `ended` are the epochs and validation accuracy of finished runs.
    """

    directory: Path | None
    varied: vary.Varied
    configs: list[Config]
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    chunk: int | None
    ended: dict[int, tuple[int, float]]


def prepare(held: contextlib.ExitStack, here: Job) -> Plan:
    """Checks all flags and data, and takes hold of the folder."""
    directory = start.begin(SCRIPT, here)
    devices.use_cpu_devices(auto=identity.usable_cores())
    base, chunk = flags.config(), _chunk(FLAGS.chunk)
    varied = vary.parse(FLAGS.vary, base.seed, FLAGS.tune)
    seeds = range(base.seed, base.seed + FLAGS.seeds)
    if (count := len(seeds) * len(varied.settings)) > vary.MOST:
        raise ValueError(f"seeds={FLAGS.seeds}: {count} runs; a sweep has at most {vary.MOST}")
    configs = sweeps.combinations(base, varied.settings, seeds)
    halving.check(configs, FLAGS.halving)
    for indices in sweeps.by_program(configs):
        config = configs[indices[0]]
        splits = load(config)
        check_memory(config, splits.image_shape, splits.num_classes)
        job.check_same_data(here, splits, indices[0])
    columns = ("run", *varied.names, "seed", *OUTCOMES, *results.MADE_WITH)
    rows = [
        {name: vary.text(getattr(config, name)) for name in (*varied.names, "seed")}
        | results.made_with(config, _data_sha256(**flags.data_settings(config)))
        for config in configs
    ]
    done: dict[int, dict[str, str]] = {}
    stored = start.stored_flags(SCRIPT)
    if here.is_primary:
        directory = directory or flags.workdir("sweep")
        held.enter_context(directories.locked(directories.home(directory)))
        if not FLAGS.resume:
            if (directory / BEST).exists() and directories.kind_of(directory) is None:
                raise ValueError(f"{directory} holds {BEST} and no sweep: choose another")
            directory = directories.renew(directory, FLAGS.overwrite)
        data_sha256 = ",".join(sorted({row["data"] for row in rows}))
        begun = {"data": data_sha256, **identity.computed_by()}
        for line in identity.check(directory, begun, FLAGS.other_device):
            flags.warn(line)
        identity.record(directory, begun)
        done = results.read_or_make(directory / RESULTS_FILE, columns, rows)
        results.begin_curves(directory / CURVES_FILE, done)
        flags_file.write(directory / directories.FLAGS_FILE, stored)
    ended = [
        (run, int(row["trained_epochs"]), float(row["validation_accuracy"] or "nan"))
        for run, row in done.items()
    ]
    ended = json.loads(distributed.share(here, "finished", json.dumps(ended)))
    finished = {run: (epochs, accuracy) for run, epochs, accuracy in ended}
    return Plan(directory, varied, configs, columns, rows, chunk, finished)


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
        raise ValueError(f"chunk={text}: expected auto or an integer of at least 1")
    return int(text)
