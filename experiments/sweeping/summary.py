"""What a sweep has found as CSV, as JSON and as lines to be printed."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from digits_jax.findings import SPLITS, Found, Setting, remark, words


def as_csv(settings: Sequence[Setting]) -> str:
    """The table as CSV, six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(settings[0])
    for entry in settings:
        writer.writerow(f"{v:.6g}" if isinstance(v, float) else v for v in entry.values())
    return stream.getvalue()


def as_json(found: Found) -> dict[str, Any]:
    """What verdict.json holds; differences are shares: 0.01 is a point."""
    best = next((entry for entry in found.settings if entry["best"]), None)
    return {
        "sentence": found.sentence,
        "known": found.verdict.known,
        "best": best and {name: best[name] for name in found.varied},
        "split": found.split,
        "compared": list(found.compared),
        "tuned": [name for name in found.varied if name not in found.compared],
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


def as_text(found: Found, most: int = 20) -> list[str]:
    """The settings as lines to be printed, the best first, `most` at the most; then the verdict."""
    score = f"{found.split}_accuracy_mean"
    ranked = sorted(found.settings, key=lambda entry: (entry["cut"], -entry[score]))
    lines = [f"{'validation':>22}{'test':>22}{'n':>6}  setting"]
    for entry in ranked[:most]:
        cells = "".join(f"{_percent(entry, split):>22}" for split in SPLITS)
        mark = "  <- best by validation" if entry["best"] else ""
        mark = "  <- recommended: best by validation" if entry["recommended"] else mark
        mark = f"  {remark(entry)}" if remark(entry) else mark
        lines.append(
            f"{cells}{entry['n']:>6}  {words(entry, found.varied) or '(as the flags say)'}{mark}"
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
