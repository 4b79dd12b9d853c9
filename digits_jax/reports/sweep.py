"""The part of a report about a sweep: the verdict, its settings over the seeds, figures."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np

from digits_jax import statistics
from digits_jax.reports import drawing, figures
from digits_jax.reports.page import element, picture, section, table
from digits_jax.runs.directories import RESULTS_FILE, SWEEP_SUMMARY_FILE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICT_FILE, CURVES_FILE = "verdict.json", "curves.csv"
SETTINGS, LINES, CELLS = 200, 8, 400  # most rows of the table, lines of a figure, cells of a map
SPLITS = ("validation", "test")
Runs = list[dict[str, str]]
Settings = dict[tuple[str, ...], Runs]


def read(path: Path) -> tuple[list[str], Settings]:
    """The varied names and the runs of each setting, in the order of results.csv.

    Raises:
        ValueError: in one line, where the file is damaged.
        OSError: where it cannot be read.
    """
    groups: Settings = {}
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            header, *lines = [*csv.reader(file)] or [[]]
        varied = header[1 : header.index("seed")]
        for line in lines:
            row = dict(zip(header, line, strict=True))
            for name in ("test_accuracy", "validation_accuracy"):
                float(row[name] or "nan")
            groups.setdefault(tuple(row[name] for name in varied), []).append(row)
    except (csv.Error, KeyError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    return varied, groups


def settings(directory: Path) -> Element:
    """The section about a sweep, finished or not; the best settings by validation come first.

    Raises:
        ValueError: as `read`.
        OSError: as `read`.
    """
    varied, groups = read(directory / RESULTS_FILE)
    judged = (
        "validation" if any(_values(runs, "validation") for runs in groups.values()) else "test"
    )
    described = {
        key: {split: statistics.describe(_values(runs, split)) for split in SPLITS}
        for key, runs in groups.items()
        if _values(runs, judged)
    }
    ranked = sorted(described, key=lambda key: -described[key][judged]["mean"])
    best = ranked[0] if judged == "validation" and len(ranked) > 1 else None
    count = sum(map(len, groups.values()))
    told = f"{count:,} runs, {len(groups):,} settings."
    if not (directory / SWEEP_SUMMARY_FILE).exists():
        told += " It is not finished: these are the runs so far."
    content = [
        *_verdict(directory, varied, {key: groups[key] for key in ranked}, judged),
        element("p", told),
        _table(varied, ranked, groups, described, best),
    ]
    shown = [
        *_against(varied, ranked, described, judged),
        *_heat_map(varied, ranked, described, judged, best),
        *_curves(directory, varied, ranked, groups),
    ]
    name = directory.resolve().name
    content += [element("div", *shown, class_="columns")] if shown else []
    return section(f"Sweep: {name}", *content)


def _values(runs: Runs, split: str) -> list[float]:
    return [float(run[f"{split}_accuracy"]) for run in runs if run[f"{split}_accuracy"]]


def _name(varied: Sequence[str], key: Sequence[str]) -> str:
    return ", ".join(map("{}={}".format, varied, key))


def _verdict(
    directory: Path, varied: Sequence[str], groups: Settings, judged: str
) -> Iterator[Element]:
    """The sentence that the sweep stored, else that of its runs so far."""
    path, column = directory / VERDICT_FILE, f"{judged}_accuracy"
    if path.exists():
        try:
            told = str(json.loads(path.read_text("utf-8"))["sentence"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: damaged: {error!r}") from None
    elif len(groups) > 1:
        columns = [
            {name: [run[name] for run in g] for name in ("seed", column)} for g in groups.values()
        ]
        try:
            names = [_name(varied, key) for key in groups]
            told = statistics.verdict(*columns, names=names, column=column).sentence
        except ValueError as error:  # too few seeds so far
            told = f"nothing is known yet: {error}"
    else:
        return
    first, _, rest = told.partition("; ")
    for text, kind in ((first, "verdict"), (rest, "quiet")):
        if text:
            yield element("p", text[:1].upper() + text[1:] + ".", class_=kind)


def _table(
    varied: Sequence[str],
    ranked: Sequence[tuple[str, ...]],
    groups: Settings,
    described: Mapping[tuple[str, ...], dict[str, dict[str, float]]],
    best: tuple[str, ...] | None,
) -> Element:
    """A row for each setting: mean accuracy of each split in %, ± half its 95 % interval."""

    def cells(key: tuple[str, ...]) -> Iterator[str]:
        yield from key
        yield f"{len(groups[key])}"
        for split in SPLITS:
            of = described[key][split]
            interval = "" if math.isnan(of["ci95"]) else f" ± {100 * of['ci95']:.2f}"
            yield "none" if math.isnan(of["mean"]) else f"{100 * of['mean']:.2f}{interval}"

    caption = "Mean accuracy in % over the seeds of a setting ± half its 95 % interval"
    caption += "; marked: the best by validation" if best else ""
    if len(ranked) > SETTINGS:
        caption += f"; the best {SETTINGS} of {len(ranked):,}"
    shown = table(
        [*varied, "runs", *(f"{split} accuracy" for split in SPLITS)],
        [list(cells(key)) for key in ranked[:SETTINGS]],
        caption,
    )
    if best:
        next(iter(shown.iter("tbody")))[0].set("class", "best")
    return shown


def _against(
    varied: Sequence[str], ranked: Sequence[tuple[str, ...]], described: Any, judged: str
) -> Iterator[Element]:
    """For each varied number, accuracy against it, a line for each setting of the others."""
    for index, name in enumerate(varied):
        values = {key: number for key in ranked if (number := _number(key[index])) is not None}
        if len(values) < len(ranked) or len(set(values.values())) < 2:
            continue
        label = f"{judged} accuracy"
        rows: dict[str, list[Any]] = {n: [] for n in (name, label, "low", "high", "others")}
        lines: dict[str, None] = {}
        for key in ranked:
            others = [(n, v) for n, v in zip(varied, key, strict=True) if n != name]
            line = ", ".join(f"{n}={v}" for n, v in others)
            if line not in lines and len(lines) == LINES:
                continue
            lines[line] = None
            of = described[key][judged]
            half = 0.0 if math.isnan(of["ci95"]) else of["ci95"]
            ends = max(0.0, of["mean"] - half), min(1.0, of["mean"] + half)
            row = (values[key], of["mean"], *ends, line)
            for column, value in zip(rows.values(), row, strict=True):
                column.append(value)
        hue = "others" if len(varied) > 1 else ""
        figure = drawing.plot(rows, name, label, hue, ("low", "high"), share=True)
        most = f" The best {LINES} settings of the others are shown." if len(lines) == LINES else ""
        caption = f"Mean over seeds; the band is its 95 % interval.{most}"
        yield picture(f"against-{name}", figure, f"{label} against {name}.", caption)


def _heat_map(
    varied: Sequence[str],
    ranked: Sequence[tuple[str, ...]],
    described: Any,
    judged: str,
    best: tuple[str, ...] | None,
) -> Iterator[Element]:
    """Mean accuracy of each pair of values, where two settings are varied."""
    if len(varied) != 2 or len(ranked) < 4:
        return
    down, across = (sorted({key[i] for key in ranked}, key=_order) for i in (0, 1))
    if len(down) * len(across) > CELLS or len(down) < 2 or len(across) < 2:
        return
    cells = np.full((len(down), len(across)), np.nan)
    for key in ranked:
        cells[down.index(key[0]), across.index(key[1])] = 100 * described[key][judged]["mean"]
    marked = (down.index(best[0]), across.index(best[1])) if best else None
    figure = _map(cells, (varied[0], down), (varied[1], across), f"{judged} accuracy, %", marked)
    caption = "Mean over seeds; the frame marks the best by validation."
    what = f"{judged} accuracy for each pair of {varied[0]} and {varied[1]}."
    yield picture("heat-map", figure, what, caption)


def _map(
    cells: np.ndarray,
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    quantity: str,
    marked: tuple[int, int] | None,
) -> "Figure":
    from matplotlib.patches import Rectangle

    width = max(drawing.WIDTH, 1.8 + 0.62 * len(columns[1]))
    figure = drawing.new_figure(1.6 + 0.4 * len(rows[1]), width=width)
    axes = figure.add_subplot()
    image = axes.imshow(cells, cmap="cividis", aspect="auto")
    ticks = [drawing.plain(value) for value in columns[1]]
    axes.set_xticks(range(len(ticks)), ticks, rotation=90 if max(map(len, ticks)) > 6 else 0)
    axes.set_yticks(range(len(rows[1])), [drawing.plain(value) for value in rows[1]])
    axes.set(xlabel=drawing.plain(columns[0]), ylabel=drawing.plain(rows[0]))
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (i, j), value in np.ndenumerate(cells):
        if not math.isnan(value):
            colour = "#111111" if value > middle else "#fefefe"
            place: Any = {"ha": "center", "va": "center", "fontsize": drawing.SMALL}
            axes.text(j, i, f"{value:.2f}", color=colour, **place)
    if marked:
        corner = marked[1] - 0.5, marked[0] - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=drawing.VERMILION, lw=3))
    figure.colorbar(image, label=quantity)
    return figure


def _curves(
    directory: Path, varied: Sequence[str], ranked: Sequence[tuple[str, ...]], groups: Settings
) -> Iterator[Element]:
    """Accuracy over epochs of the best settings, where the sweep kept its curves."""
    path = directory / CURVES_FILE
    if not path.exists():
        return
    wanted = {run["run"]: key for key in ranked[:LINES] for run in groups[key]}
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                if row["run"] in wanted:
                    pair = (row["train_accuracy"], row["validation_accuracy"])
                    found.setdefault(row["run"], []).append(
                        tuple(float(cell or "nan") for cell in pair)  # type: ignore[arg-type]
                    )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error!r}") from None
    curves = []
    for index, key in enumerate(ranked[:LINES]):
        runs = [found[run["run"]] for run in groups[key] if run["run"] in found]
        if runs:
            values = np.full((2, len(runs), max(map(len, runs))), np.nan)
            for number, epochs in enumerate(runs):
                values[:, number, : len(epochs)] = np.transpose(epochs)
            curves.append(figures.Curve(_name(varied, key), values[0], values[1], index))
    if curves:
        figure = figures.learning_curves(curves, "accuracy", shares=True)
        most = f" The best {LINES} settings by validation." if len(ranked) > LINES else ""
        caption = f"Accuracy over epochs: mean over seeds, and their range.{most}"
        yield picture("sweep-accuracy", figure, "Learning curves of the sweep.", caption)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _order(text: str) -> tuple[bool, float, str]:
    number = _number(text)
    return number is None, number or 0.0, text
