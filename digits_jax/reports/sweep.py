"""The part of a report about a sweep: the verdict, its settings over the seeds, figures."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from digits_jax import findings, results
from digits_jax.findings import SPLITS, Setting, remark, words
from digits_jax.reports import figures, sweep_figures
from digits_jax.reports.page import element, picture, section, table
from digits_jax.results import Table
from digits_jax.runs.directories import CURVES_FILE, SWEEP_SUMMARY_FILE, VERDICT_FILE

SETTINGS, LINES, CELLS = 200, 8, 400  # most rows of the table, lines of a figure, cells of a map


def settings(directory: Path) -> Element:
    """The section about a sweep, finished or not; the best settings come first.

    They are ranked by validation accuracy, or by test accuracy if a run has no validation images;
    those that are not compared come last.

    Raises:
        ValueError: in one line, where a file is damaged.
        OSError: where one cannot be read.
    """
    varied, rows = results.of_sweep(directory)
    title = f"Sweep: {directory.resolve().name}"
    going = not (directory / SWEEP_SUMMARY_FILE).exists()
    unfinished = " It is not finished: these are the runs so far." if going else ""
    if not rows:
        return section(title, element("p", f"0 runs.{unfinished}"))
    columns = results.table(rows)
    groups, judge = results.group(columns, varied), findings.judged(columns)
    entries = findings.settings(groups, varied)
    score = f"{judge}_accuracy_mean"
    ranked = sorted(
        range(len(entries)), key=lambda i: (bool(remark(entries[i])), -entries[i][score])
    )
    runs = [list(groups.values())[number]["run"].tolist() for number in ranked[:LINES]]
    ranking = [entries[number] for number in ranked]
    first = ranking[0]
    best = first if judge == "validation" and ranking[1:] and not remark(first) else None
    shown = [
        *_against(ranking, varied, judge),
        *_heat_map(ranking, varied, judge, best),
        *_curves(directory, varied, ranking, runs),
    ]
    return section(
        title,
        *_verdict(directory, columns, varied),
        element("p", f"{len(rows):,} runs, {len(entries):,} settings.{unfinished}"),
        _table(ranking, varied, best),
        *([element("div", *shown, class_="columns")] if shown else []),
    )


def _verdict(directory: Path, columns: Table, varied: Sequence[str]) -> Iterator[Element]:
    """The sentence that the sweep stored, else that of its runs so far."""
    path = directory / VERDICT_FILE
    if path.exists():
        try:
            told = str(json.loads(path.read_text("utf-8"))["sentence"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: damaged: {error!r}") from None
    elif varied:
        try:
            told = findings.find(columns, varied, varied).sentence
        except ValueError as error:  # too few seeds so far
            told = f"nothing is known yet: {error}"
    else:
        return
    first, _, rest = told.partition("; ")
    for text, kind in ((first, "verdict"), (rest, "quiet")):
        if text:
            yield element("p", text[:1].upper() + text[1:] + ".", class_=kind)


def _table(ranking: Sequence[Setting], varied: Sequence[str], best: Setting | None) -> Element:
    """A row for each setting: mean accuracy of each split in %, ± half its 95 % interval."""
    remarks = any(map(remark, ranking))

    def cells(entry: Setting) -> Iterator[str]:
        yield from (str(entry[name]) for name in varied)
        yield f"{entry['n']}"
        for split in SPLITS:
            mean, half = (100 * entry[f"{split}_accuracy_{name}"] for name in ("mean", "ci95"))
            interval = "" if math.isnan(half) else f" ± {half:.2f}"
            yield "none" if math.isnan(mean) else f"{mean:.2f}{interval}"
        if remarks:
            yield remark(entry)

    caption = "Mean accuracy in % over the seeds of a setting ± half its 95 % interval"
    caption += "; marked: the best by validation" if best else ""
    if len(ranking) > SETTINGS:
        caption += f"; the best {SETTINGS} of {len(ranking):,}"
    shown = table(
        [*varied, "runs", *(f"{split} accuracy" for split in SPLITS), *["not compared"] * remarks],
        [list(cells(entry)) for entry in ranking[:SETTINGS]],
        caption,
    )
    if best:
        next(iter(shown.iter("tbody")))[0].set("class", "best")
    return shown


def _note(settings: Sequence[Setting]) -> str:
    """What a caption says about settings that did not train to their end."""
    cut = any(entry["cut"] for entry in settings)
    return " Of settings that halving left out, it is that of their last epoch." if cut else ""


def _against(ranking: Sequence[Setting], varied: Sequence[str], judge: str) -> Iterator[Element]:
    """For each varied number, accuracy against it, a line for each setting of the others."""
    for name in varied:
        values = {sweep_figures.number(entry[name]) for entry in ranking}
        if None in values or len(values) < 2:
            continue
        figure = sweep_figures.against(ranking, name, varied, judge, LINES)
        lines = len({words(e, [n for n in varied if n != name]) for e in ranking})
        most = f" The best {LINES} settings of the others are shown." if lines > LINES else ""
        caption = f"Mean over seeds; the band is its 95 % interval.{_note(ranking)}{most}"
        what = f"{judge} accuracy against {name}."
        yield picture(f"against-{name}", figure, what, caption)


def _heat_map(
    ranking: Sequence[Setting], varied: Sequence[str], judge: str, best: Setting | None
) -> Iterator[Element]:
    """Mean accuracy of each pair of values, where two settings are varied."""
    sizes = [len({entry[name] for entry in ranking}) for name in varied]
    if len(sizes) != 2 or min(sizes) < 2 or math.prod(sizes) > CELLS:
        return
    figure = sweep_figures.heat_map(ranking, varied, judge, best)
    frame = " The frame marks the best by validation." if best else ""
    what = f"{judge} accuracy for each pair of {varied[0]} and {varied[1]}."
    yield picture("heat-map", figure, what, f"Mean over seeds.{_note(ranking)}{frame}")


def _curves(
    directory: Path,
    varied: Sequence[str],
    ranking: Sequence[Setting],
    runs: Sequence[Sequence[int]],
) -> Iterator[Element]:
    """Accuracy over epochs of the best settings, of which `runs` holds the runs."""
    path = directory / CURVES_FILE
    if not path.exists():
        return
    found: dict[str, list[list[float]]] = {str(run): [] for of in runs for run in of}
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                if row["run"] in found:
                    pair = (row["train_accuracy"], row["validation_accuracy"])
                    found[row["run"]].append([float(cell or "nan") for cell in pair])
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error!r}") from None
    curves = []
    for style, (entry, of) in enumerate(zip(ranking, runs, strict=False)):
        if epochs := [found[str(run)] for run in of if found[str(run)]]:
            values = np.full((2, len(epochs), max(map(len, epochs))), np.nan)
            for number, course in enumerate(epochs):
                values[:, number, : len(course)] = np.transpose(course)
            curves.append(figures.Curve(words(entry, varied), values[0], values[1], style))
    if curves:
        figure = figures.learning_curves(curves, "accuracy", shares=True)
        most = f" The best {LINES} settings." if len(ranking) > LINES else ""
        caption = f"Accuracy over epochs: mean over seeds, and their range.{most}"
        yield picture("sweep-accuracy", figure, "Learning curves of the sweep.", caption)
