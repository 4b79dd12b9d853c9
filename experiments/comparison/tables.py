"""All tables of a comparison, computed one network after the other."""

import csv
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

from tqdm import tqdm

from digits_jax.config import Config
from digits_jax.data import Splits
from experiments.comparison import cost, exactness, faults, programs, source, trajectory
from experiments.comparison.methods import DTYPES, METHODS, make_trials
from experiments.comparison.problem import Sweeps, make_problem, points


class Settings(NamedTuple):
    """What is compared, and how long it may take.

    `limit` seconds is the longest that one gradient may be predicted to take; `seconds` go into
    each measurement of time; `epochs` and `seeds` into the training with each of `faults`.
    """

    methods: tuple[str, ...]
    dtypes: tuple[str, ...]
    faults: tuple[str, ...]
    limit: float
    seconds: float
    epochs: int
    seeds: int


class Tables(NamedTuple):
    """The rows of every table; empty where the settings leave a table out."""

    exactness: list[exactness.Row]
    trajectory: list[trajectory.Row]
    test_errors: list[trajectory.EndRow]
    programs: list[programs.Row]
    instructions: list[programs.KindRow]
    cost: list[cost.Row]
    source: list[source.Row]
    faults: list[faults.Row]
    fault_losses: list[faults.CurveRow]


def check(methods: Iterable[str], dtypes: Iterable[str]) -> None:
    """Checks names that a user gave.

    Raises:
        ValueError: in one line, where one is not known or none is given.
    """
    for flag, names, known in (("methods", methods, METHODS), ("dtypes", dtypes, DTYPES)):
        names = list(names)
        for name in names or [""]:
            if name not in known:
                raise ValueError(f"{flag}={','.join(names)}: choose among {', '.join(known)}")


def compute(config: Config, splits: Splits, sweeps: Sweeps, settings: Settings) -> Tables:
    """Every table for `config` and, but for training, for every point of the sweeps."""
    tables = Tables([], [], [], [], [], [], [], [], [])
    dtype = settings.dtypes[0]
    both = "manual" in settings.methods and METHODS["manual"].available(config)
    for point in tqdm(points(config, sweeps), unit="network", disable=None):
        problem = make_problem(point, splits)
        trials = make_trials(
            problem, settings.methods, settings.dtypes, settings.seconds, settings.limit
        )
        tables.exactness.extend(exactness.rows(problem, trials))
        tables.cost.extend(cost.rows(trials, settings.dtypes, settings.seconds, warm=True))
        if both:
            found, kinds = programs.rows(problem, dtype, whole_run=point == config)
            tables.programs.extend(found)
            tables.instructions.extend(kinds)
    tables.source.extend(source.rows(config, settings.methods))
    paths, ends = trajectory.rows(config, splits, settings.methods, settings.dtypes)
    tables.trajectory.extend(paths)
    tables.test_errors.extend(ends)
    if settings.faults and METHODS["manual"].available(config):
        found_faults, losses = faults.rows(
            make_problem(config, splits), splits, settings.faults, settings.epochs, settings.seeds
        )
        tables.faults.extend(found_faults)
        tables.fault_losses.extend(losses)
    return tables


def to_csv(tables: Tables) -> str:
    """One CSV of every row: the column `table` names its table, other tables' columns are empty."""
    rows: list[dict[str, Any]] = [
        {"table": name} | row._asdict() for name, table in tables._asdict().items() for row in table
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
