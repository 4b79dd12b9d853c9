"""All tables of a comparison, computed one network after the other."""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from digits_jax.config import Config
from digits_jax.data import Splits
from experiments.comparison import checks, cost, exactness, programs, trajectory
from experiments.comparison.methods import METHODS, LeftOut, add_own, make_trials
from experiments.comparison.problem import make_problem


class Scope(NamedTuple):
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
    """The rows of every table; empty where the scope leaves a table out."""

    exactness: list[exactness.Difference]
    trajectory: list[trajectory.Distance]
    programs: list[programs.CompiledProgram]
    cost: list[cost.Cost]
    left_out: list[LeftOut]
    verdicts: list[checks.Verdict]
    curves: list[checks.CurvePoint]


def compute(places: Sequence[Config], splits: Splits, scope: Scope) -> Tables:
    """Every table at the first of the places, and at the others what needs no training."""
    tables = Tables([], [], [], [], [], [], [])
    for config in tqdm(places, unit="network", disable=None):
        problem = make_problem(config, splits)
        add_own(problem)
        trials, left_out = make_trials(problem, scope.methods, scope.dtypes, scope.limit)
        tables.left_out.extend(left_out)
        tables.exactness.extend(exactness.rows(problem, trials))
        tables.cost.extend(cost.rows(problem, trials, scope.dtypes, scope.seconds))
        by_hand = "manual" in scope.methods and not METHODS["manual"].why_not(problem)
        if by_hand:
            whole_step = config == places[0]
            tables.programs.extend(programs.rows(problem, scope.dtypes[0], whole_step))
    base = make_problem(places[0], splits)
    distances = trajectory.rows(base, splits, scope.methods, scope.dtypes)
    tables = tables._replace(trajectory=distances)
    if by_hand and scope.faults:
        found = checks.rows(base, splits, scope.faults, scope.epochs, scope.seeds)
        tables = tables._replace(verdicts=found[0], curves=found[1])
    return tables


def to_csv(tables: Tables) -> str:
    """One CSV of every row: the column `table` names its table, other tables' columns are empty."""
    rows: list[dict[str, Any]] = []
    for name, table in tables._asdict().items():
        for row in table:
            values = {"table": name} | row._asdict()
            place = values.pop("place", None)
            rows.append(values | (place._asdict() if place else {}))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
