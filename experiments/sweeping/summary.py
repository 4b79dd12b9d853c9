"""What a sweep has found: a row for each setting, and the verdict on them."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from digits_jax.results import Table, group
from digits_jax.statistics import Verdict, describe, verdict

Setting = dict[str, Any]
STATISTICS = ("mean", "std", "min", "max", "ci95")
SPLITS = ("validation", "test")
# With so many values or more, it is worth a warning that the best is the first or the last.
RANGE = 3


class Found(NamedTuple):
    """What the runs of a sweep say, compared on the images of `split`.

    `settings` has a row for each, in the order of the runs: its values, n, the statistics of
    validation and test accuracy, the mean seconds of a run, how many `diverged` (a loss is not
    finite), the epochs trained, whether halving `cut` it; whether it is the `best` by validation
    accuracy, and `recommended`: known to be. Of settings that were compared with the best: the mean
    difference from it with its 95 % interval, the p value, and whether the best `beats` it.
    """

    settings: list[Setting]
    verdict: Verdict
    remarks: list[str]
    split: str

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with what there is to be said about it."""
        return "; ".join([self.verdict.sentence, *self.remarks])


def find(columns: Table, varied: Sequence[str], compared: Sequence[str], split: str = "") -> Found:
    """Says what is known about the settings of a sweep.

    Args:
        columns: its runs, as `load_runs` gives them.
        varied: the names of the varied fields.
        compared: those whose values are compared, each with its best values of the others.
        split: whose accuracy is compared; by default that of validation images, if there are any.
    """
    unscored = np.isnan(columns["validation_accuracy"]).any()
    split = split or ("test" if unscored else "validation")
    groups = group(columns, varied)
    settings = [_setting(dict(zip(varied, key, strict=True)), runs) for key, runs in groups.items()]
    best: dict[tuple[Any, ...], int] = {}
    for number, entry in enumerate(settings):
        # The best values of what is tuned are chosen by validation images wherever there are any.
        score = f"{'test' if unscored else 'validation'}_accuracy_mean"
        key = tuple(entry[name] for name in compared)
        if entry["diverged"] or entry["cut"]:
            continue
        if key not in best or entry[score] > settings[best[key]][score]:
            best[key] = number
    names = {number: label(settings[number], compared) for number in best.values()}
    tables = list(groups.values())
    found = verdict(
        *(tables[number] for number in names),
        names=list(names.values()),
        column=f"{split}_accuracy",
    )
    against = {one.other: one for one in found.comparisons}
    for number, entry in enumerate(settings):
        entry["best"] = split == "validation" and names.get(number, "") == found.best
        entry["recommended"] = entry["best"] and found.known
        one = against.get(names.get(number, ""))
        entry |= {
            f"behind_best_{name}": float(getattr(one.difference, name)) if one else math.nan
            for name in ("mean", "low", "high", "p")
        }
        entry["beaten"] = bool(one and one.beats)
    remarks = [
        *_tuned(settings, names, varied, compared),
        *_edges(settings, names, varied, compared),
    ]
    remarks += _without_effect(groups, varied)
    return Found(settings, found, [*remarks, *_left_out(settings, bool(unscored))], split)


def _setting(values: Setting, runs: Table) -> Setting:
    entry: Setting = {**values, "n": len(runs["seed"])}
    for split in SPLITS:
        described = describe(runs[f"{split}_accuracy"].tolist())
        entry |= {f"{split}_accuracy_{name}": described[name] for name in STATISTICS}
    lost = [runs["train_loss"], runs["test_loss"], np.nan_to_num(runs["validation_loss"])]
    short = (runs["trained_epochs"] < runs["epochs"]) & (runs["patience"] == 0)
    return entry | {
        "seconds": float(np.mean(runs["seconds"])),
        "diverged": int(np.sum(~np.isfinite(lost).all(0))),
        "trained_epochs": int(runs["trained_epochs"].max()),
        "cut": bool(short.any()),
    }


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


def _without_effect(groups: Mapping[tuple[Any, ...], Table], varied: Sequence[str]) -> list[str]:
    """Settings whose runs gave the same numbers, seed by seed; five such lines at most."""
    figures = ("seed", "train_loss", "test_loss", "test_errors")
    alike: dict[tuple[float, ...], list[str]] = {}
    for key, runs in groups.items():
        numbers = tuple(float(each) for name in figures for each in runs[name])
        alike.setdefault(numbers, []).append(words(dict(zip(varied, key, strict=True)), varied))
    return [f"no difference between {', '.join(same)}" for same in alike.values() if same[1:]][:5]


def _left_out(settings: Sequence[Setting], unscored: bool) -> Iterator[str]:
    cut = [entry["trained_epochs"] for entry in settings if entry["cut"]]
    if cut:
        told = ", ".join(f"{cut.count(epochs)} after epoch {epochs}" for epochs in sorted({*cut}))
        yield f"halving left out {len(cut)} of {len(settings)} settings: {told}"
    if diverged := sum(entry["diverged"] for entry in settings):
        yield f"settings are left out as the loss of {diverged} runs is not finite"
    if unscored and len(settings) > 1:
        yield "without validation images nothing is recommended"


def as_csv(settings: Sequence[Setting]) -> str:
    """The table as CSV, six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(settings[0])
    for entry in settings:
        writer.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in entry.values())
    return stream.getvalue()


def as_json(found: Found, compared: Sequence[str], varied: Sequence[str]) -> dict[str, Any]:
    """What verdict.json holds; differences are shares: 0.01 is a point."""
    best = next((entry for entry in found.settings if entry["best"]), None)
    return {
        "sentence": found.sentence,
        "known": found.verdict.known,
        "best": best and {name: best[name] for name in varied},
        "split": found.split,
        "compared": list(compared),
        "tuned": [name for name in varied if name not in compared],
        "remarks": found.remarks,
        "comparisons": [
            {
                "best": found.verdict.best,
                "other": one.other,
                **{k: np.asarray(v).item() for k, v in one.difference._asdict().items()},
                "corrected_p": one.corrected_p,
                "beats": one.beats,
            }
            for one in found.verdict.comparisons
        ],
    }


def as_text(found: Found, varied: Sequence[str], most: int = 20) -> list[str]:
    """The settings as lines to be printed, the best first, `most` at the most; then the verdict."""
    score = f"{found.split}_accuracy_mean"
    ranked = sorted(found.settings, key=lambda entry: (entry["cut"], -entry[score]))
    lines = [f"{'validation':>22}{'test':>22}{'n':>6}  setting"]
    for entry in ranked[:most]:
        cells = "".join(f"{_percent(entry, split):>22}" for split in SPLITS)
        mark = "  <- best by validation" if entry["best"] else ""
        mark = "  <- recommended: best by validation" if entry["recommended"] else mark
        mark = f"  the loss of {entry['diverged']} is not finite" if entry["diverged"] else mark
        mark = f"  left out after epoch {entry['trained_epochs']}" if entry["cut"] else mark
        lines.append(
            f"{cells}{entry['n']:>6}  {words(entry, varied) or '(as the flags say)'}{mark}"
        )
    if len(ranked) > most:
        lines.append(f"and {len(ranked) - most} more settings in summary.csv")
    if len(ranked) > 1:
        lines += [
            f"verdict  {found.verdict.sentence}",
            *(f"         {one}" for one in found.remarks),
        ]
    return lines


def _percent(entry: Mapping[str, Any], split: str) -> str:
    mean, std = (100 * entry[f"{split}_accuracy_{name}"] for name in ("mean", "std"))
    if math.isnan(mean):
        return "none"
    return f"{mean:.2f} %" if math.isnan(std) else f"{mean:.2f} +- {std:.2f} %"
