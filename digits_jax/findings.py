"""What runs say about their settings: a row for each setting, and the verdict on them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from digits_jax import statistics
from digits_jax.results import Table, group
from digits_jax.statistics import Verdict

Setting = dict[str, Any]
STATISTICS = ("mean", "std", "min", "max", "ci95")
SPLITS = ("validation", "test")
# With so many values or more, it is worth a warning that the best is the first or the last.
RANGE = 3


class Found(NamedTuple):
    """What runs say about their settings, compared on the images of `split`.

    `columns` are the runs, as `load_runs` gives them. `settings` has a row for each setting, as
    `settings` gives it, and further: whether it is the `best` by validation accuracy, and
    `recommended`: known to be. Of settings that were compared with the best: the mean difference
    from it with its 95 % interval, the p value, and whether the best `beats` it.
    """

    columns: Table
    varied: Sequence[str]
    compared: Sequence[str]
    settings: list[Setting]
    verdict: Verdict
    remarks: list[str]
    split: str

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with what there is to be said about it."""
        return "; ".join([self.verdict.sentence, *self.remarks])


def judged(columns: Table) -> str:
    """The split that settings are judged by: validation, if all runs have such images, or test."""
    return "test" if np.isnan(columns["validation_accuracy"]).any() else "validation"


def find(columns: Table, varied: Sequence[str], compared: Sequence[str], split: str = "") -> Found:
    """Says what is known about the settings of runs.

    Args:
        columns: the runs, as `load_runs` gives them.
        varied: the names of the varied fields.
        compared: those whose values are compared, each with its best values of the others.
        split: whose accuracy is compared; by default that of `judged`.

    Raises:
        ValueError: as `statistics.verdict`.
    """
    judge = judged(columns)
    split = split or judge
    groups = group(columns, varied)
    tables, entries = list(groups.values()), settings(groups, varied)
    # The best values of what is tuned are chosen by validation images wherever there are any.
    score = f"{judge}_accuracy_mean"
    best: dict[tuple[Any, ...], int] = {}
    for number, entry in enumerate(entries):
        key = tuple(entry[name] for name in compared)
        if remark(entry):
            continue
        if key not in best or entry[score] > entries[best[key]][score]:
            best[key] = number
    names = {number: label(entries[number], compared) for number in best.values()}
    verdict = statistics.verdict(
        *(tables[number] for number in names),
        names=list(names.values()),
        column=f"{split}_accuracy",
    )
    against = {one.other: one for one in verdict.comparisons}
    for number, entry in enumerate(entries):
        entry["best"] = split == "validation" and names.get(number, "") == verdict.best
        entry["recommended"] = entry["best"] and verdict.known
        one = against.get(names.get(number, ""))
        entry |= {
            f"behind_best_{name}": float(getattr(one.difference, name)) if one else math.nan
            for name in ("mean", "low", "high", "p")
        }
        entry["beaten"] = bool(one and one.beats)
    remarks = [
        *_tuned(entries, names, varied, compared),
        *_edges(entries, names, varied, compared),
        *_without_effect(entries, tables, varied),
        *_left_out(entries, judge),
    ]
    return Found(columns, varied, compared, entries, verdict, remarks, split)


def settings(groups: Mapping[tuple[Any, ...], Table], varied: Sequence[str]) -> list[Setting]:
    """A row for each setting, in the order of `groups`, which `results.group` gives.

    It holds the values of the varied fields, n, the statistics of validation and test accuracy, the
    mean seconds of a run, how many `diverged` (a loss is not finite), the epochs trained, and
    whether halving `cut` it.
    """
    return [_setting(dict(zip(varied, key, strict=True)), runs) for key, runs in groups.items()]


def _setting(values: Setting, runs: Table) -> Setting:
    entry: Setting = {**values, "n": len(runs["seed"])}
    for split in SPLITS:
        described = statistics.describe(runs[f"{split}_accuracy"].tolist())
        entry |= {f"{split}_accuracy_{name}": described[name] for name in STATISTICS}
    lost = [runs["train_loss"], runs["test_loss"], np.nan_to_num(runs["validation_loss"])]
    short = (runs["trained_epochs"] < runs["epochs"]) & (runs["patience"] == 0)
    return entry | {
        "seconds": float(np.mean(runs["seconds"])),
        "diverged": int(np.sum(~np.isfinite(lost).all(0))),
        "trained_epochs": int(runs["trained_epochs"].max()),
        "cut": bool(short.any()),
    }


def remark(entry: Setting) -> str:
    """Why a setting is not compared, if it is not."""
    if entry["cut"]:
        return f"left out after epoch {entry['trained_epochs']}"
    if entry["diverged"]:
        return f"the loss of {entry['diverged']} is not finite"
    return ""


def label(entry: Mapping[str, Any], compared: Sequence[str]) -> str:
    """What a setting is called: momentum, or learning_rate=0.3 hidden=30."""
    only = entry[compared[0]] if len(compared) == 1 else None
    return only if isinstance(only, str) and compared[0] != "hidden" else words(entry, compared)


def words(entry: Mapping[str, Any], names: Sequence[str]) -> str:
    """The values of fields as flags spell them."""
    return " ".join(f"{name}={shown(entry[name])}" for name in names)


def shown(value: Any) -> str:
    """A value without digits that say nothing: 0.3, 3, sgd."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tuned(
    settings: Sequence[Setting],
    names: Mapping[int, str],
    varied: Sequence[str],
    compared: Sequence[str],
) -> Iterator[str]:
    if tuned := [name for name in varied if name not in compared]:
        told = ", ".join(
            f"{name} with {words(settings[number], tuned)}" for number, name in names.items()
        )
        yield f"each at its best: {told}"


def _edges(
    settings: Sequence[Setting],
    names: Mapping[int, str],
    varied: Sequence[str],
    compared: Sequence[str],
) -> Iterator[str]:
    """Where the best value of a number is the least or the greatest of those that were tried."""
    for number in names:
        own = settings[number]
        among = [name for name in varied if name not in compared] or list(varied)
        if among == list(varied) and not own["best"]:
            continue  # of settings that are compared themselves, only the best's matter
        for name in among:
            others = [each for each in varied if each != name]
            alike = [e for e in settings if all(e[other] == own[other] for other in others)]
            tried = sorted({e[name] for e in alike if not isinstance(e[name], str)})
            if len(tried) >= RANGE and own[name] in (tried[0], tried[-1]):
                whose = f"{label(own, compared)}'s best" if among != list(varied) else "the best"
                end = "lower" if own[name] == tried[0] else "upper"
                yield (
                    f"{whose} {name}, {shown(own[name])}, lies at the {end} edge of its range "
                    f"({shown(tried[0])} to {shown(tried[-1])}): widen it"
                )


def _without_effect(
    settings: Sequence[Setting], tables: Sequence[Table], varied: Sequence[str]
) -> list[str]:
    """Settings whose runs gave the same numbers, seed by seed; five such lines at most."""
    figures = ("seed", "train_loss", "test_loss", "test_errors")
    alike: dict[tuple[float, ...], list[str]] = {}
    for entry, runs in zip(settings, tables, strict=True):
        numbers = tuple(float(each) for name in figures for each in runs[name])
        alike.setdefault(numbers, []).append(words(entry, varied))
    return [f"no difference between {', '.join(same)}" for same in alike.values() if same[1:]][:5]


def _left_out(settings: Sequence[Setting], judge: str) -> Iterator[str]:
    cut = [entry["trained_epochs"] for entry in settings if entry["cut"]]
    if cut:
        told = ", ".join(f"{cut.count(epochs)} after epoch {epochs}" for epochs in sorted({*cut}))
        yield f"halving left out {len(cut)} of {len(settings)} settings: {told}"
    if diverged := sum(entry["diverged"] for entry in settings):
        yield f"settings are left out as the loss of {diverged} runs is not finite"
    if judge == "test" and len(settings) > 1:
        yield "without validation images nothing is recommended"
