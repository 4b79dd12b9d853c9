"""The part of a report that looks at a sweep: each of its settings over the seeds."""

import csv
from pathlib import Path
from xml.etree.ElementTree import Element

from digits_jax.reports.page import element, mean_and_deviation, section, table
from digits_jax.runs.directories import RESULTS_FILE, SWEEP_SUMMARY_FILE

SETTINGS = 30
SPLITS = ("validation", "test")


def settings(directory: Path) -> Element:
    """A table of the settings of a sweep, the best by validation first; unfinished ones too.

    Raises:
        ValueError: in one line, where results.csv is damaged.
        OSError: where it cannot be read.
    """
    path = directory / RESULTS_FILE
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        header, *lines = [*csv.reader(file)] or [[]]
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    try:
        varied = header[1 : header.index("seed")]
        for line in lines:
            row = dict(zip(header, line, strict=True))
            groups.setdefault(tuple(row[name] for name in varied), []).append(row)
        accuracies = [
            [
                [100 * float(row[f"{split}_accuracy"]) for row in rows if row[f"{split}_accuracy"]]
                for split in SPLITS
            ]
            for rows in groups.values()
        ]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    lines = [
        [*setting, str(len(test)), *(mean_and_deviation(one, "%") for one in (validation, test))]
        for setting, (validation, test) in zip(groups, accuracies, strict=True)
    ]
    scores = [sum(validation) / max(1, len(validation)) for validation, _ in accuracies]
    order = sorted(range(len(lines)), key=lambda index: -scores[index])
    finished = (directory / SWEEP_SUMMARY_FILE).exists()
    caption = "Each setting over its seeds, mean ± sample standard deviation of accuracy"
    if len(order) > SETTINGS:
        caption += f"; the best {SETTINGS} of {len(order)} by validation"
    shown = table(
        [*varied, "runs", *(f"{split} accuracy" for split in SPLITS)],
        [lines[index] for index in order[:SETTINGS]],
        caption,
    )
    told = "" if finished else " It is not finished: these are the runs that are."
    count = sum(len(test) for _, test in accuracies)
    text = element("p", f"{count:,} runs, {len(order):,} settings.{told}")
    return section(f"Sweep: {directory.resolve().name}", text, shown)
