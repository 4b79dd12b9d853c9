"""The table of a sweep: each setting over its seeds."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

STATISTICS = ("mean", "std", "min", "max", "ci95")
FINITE = ("train_loss", "validation_loss", "test_loss")
SPLITS = ("validation", "test")


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, sample standard deviation, extremes, and half the 95 % confidence interval of the mean.

    The interval is Student's (1908), with n - 1 degrees of freedom; NaN for a single value.
    """
    from scipy.stats import t

    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else math.nan
    return {
        "mean": float(np.mean(values)),
        "std": deviation,
        "min": float(np.min(values)),
        "max": float(np.max(values)),
        "ci95": float(t.ppf(0.975, max(count - 1, 1))) * deviation / math.sqrt(count),
    }


def summarise(rows: Sequence[Mapping[str, str]], varied: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each setting, in the order of the runs.

    Args:
        rows: those of results.csv.
        varied: the names of the varied fields.

    Returns:
        For each setting: its values, n, the statistics of validation and test accuracy, the mean
        seconds of a run, how many `diverged` (a loss that is not finite), and `recommended`: true
        for the best of several, none of whose runs diverged, by mean accuracy on validation
        images, without which no setting is recommended.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in sorted(rows, key=lambda row: int(row["run"])):
        groups.setdefault(tuple(row[name] for name in varied), []).append(row)
    table: list[dict[str, Any]] = []
    for setting, runs in groups.items():
        entry: dict[str, Any] = {**dict(zip(varied, setting, strict=True)), "n": len(runs)}
        for split in SPLITS:
            values = [float(run[f"{split}_accuracy"] or math.nan) for run in runs]
            described = describe(values)
            entry |= {f"{split}_accuracy_{name}": described[name] for name in STATISTICS}
        entry["seconds"] = float(np.mean([float(run["seconds"]) for run in runs]))
        losses = [[float(run.get(name) or 0) for name in FINITE] for run in runs]
        entry["diverged"] = sum(not np.isfinite(each).all() for each in losses)
        table.append(entry)
    sound = [entry for entry in table if _scored(entry) and not entry["diverged"]]
    best = max((entry["validation_accuracy_mean"] for entry in sound), default=None)
    for entry in table:
        is_best = entry in sound and math.isclose(entry["validation_accuracy_mean"], best or 0)
        entry["recommended"] = len(table) > 1 and is_best
    return table


def without_difference(
    rows: Sequence[Mapping[str, str]], varied: Sequence[str], most: int = 5
) -> list[str]:
    """Lines that name settings whose runs, seed by seed, gave the same numbers; `most` at most."""
    outcomes: dict[tuple[str, ...], dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: int(row["run"])):
        told = " ".join(row[name] for name in ("seed", "train_loss", "test_loss", "test_errors"))
        outcomes.setdefault(tuple(row[name] for name in varied), {})[row["seed"]] = told
    alike: dict[tuple[str, ...], list[str]] = {}
    for setting, told_by_seed in outcomes.items():
        words = " ".join(map("{}={}".format, varied, setting))
        alike.setdefault(tuple(told_by_seed.values()), []).append(words)
    lines = [f"no difference between {', '.join(same)}" for same in alike.values() if same[1:]]
    return lines[:most]


def tied(table: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> list[str]:
    """The settings that are recommended: several, where their mean accuracies are the same."""
    best = [entry for entry in table if entry["recommended"]]
    return [" ".join(f"{name}={entry[name]}" for name in varied) for entry in best]


def _scored(entry: Mapping[str, Any]) -> bool:
    return not math.isnan(entry["validation_accuracy_mean"])


def as_csv(table: Sequence[Mapping[str, Any]]) -> str:
    """The table as CSV, six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table[0])
    for entry in table:
        writer.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in entry.values())
    return stream.getvalue()


def as_text(table: Sequence[Mapping[str, Any]], varied: Sequence[str], most: int = 20) -> str:
    """The settings as lines to be printed, the best by validation first, `most` at the most."""
    ranked = sorted(
        table,
        key=lambda entry: -entry["validation_accuracy_mean"] if _scored(entry) else math.inf,
    )
    lines = [f"{'validation':>22}{'test':>22}{'n':>6}  setting"]
    for entry in ranked[:most]:
        cells = "".join(f"{_percent(entry, split):>22}" for split in SPLITS)
        setting = " ".join(f"{name}={entry[name]}" for name in varied) or "(as the flags say)"
        mark = "  <- recommended: best by validation" if entry["recommended"] else ""
        if entry["diverged"]:
            mark = f"  the loss of {entry['diverged']} is not finite"
        lines.append(f"{cells}{entry['n']:>6}  {setting}{mark}")
    if len(ranked) > most:
        lines.append(f"and {len(ranked) - most} more settings in summary.csv")
    return "\n".join(lines)


def _percent(entry: Mapping[str, Any], split: str) -> str:
    mean, std = (100 * entry[f"{split}_accuracy_{name}"] for name in ("mean", "std"))
    if math.isnan(mean):
        return "none"
    return f"{mean:.2f} %" if math.isnan(std) else f"{mean:.2f} +- {std:.2f} %"


def pace(count: int, seconds: float, chunk: int) -> str:
    """How quickly runs that share a program were trained, as a line to be printed."""
    device = jax.local_devices()[0]
    line = (
        f"{count:,} runs, {count / seconds:.3g} a second without compilation: up to {chunk:,} in a "
        f"call on each of {jax.device_count()} devices ({device.device_kind})"
    )
    if memory := device.memory_stats():
        line += f", {memory['peak_bytes_in_use'] / 2**30:.1f} GiB"
    return line
