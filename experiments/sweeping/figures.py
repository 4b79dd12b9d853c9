"""The figures of a sweep: the spread over seeds, and accuracy against what was varied."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from digits_jax.reports.drawing import SMALL, grid, new_figure, plain, png, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches
SETTINGS_SHOWN = 25
# Values that span more than this factor are drawn on a logarithmic axis.
LOGARITHMIC = 20


def draw(
    rows: Sequence[Mapping[str, str]], table: Sequence[Mapping[str, Any]], varied: Sequence[str]
) -> dict[str, bytes]:
    """Every figure that the sweep has numbers for, as file name and PNG.

    Args:
        rows: those of results.csv.
        table: what `sweep_summary.summarise` makes of them.
        varied: the names of the varied fields.
    """
    split = "validation" if all(row["validation_accuracy"] for row in rows) else "test"
    figures = {"distribution.png": distribution(rows, table, varied, split)}
    numeric = [name for name in varied if all(_is_number(row[name]) for row in table)]
    for name in numeric:
        if len({entry[name] for entry in table}) > 1:
            figures[f"against-{name}.png"] = against(table, name, varied, split)
    if len(varied) == 2 and len(table) > 1:
        figures["heat-map.png"] = heat_map(table, varied, split)
    return {name: png(figure) for name, figure in figures.items()}


def distribution(
    rows: Sequence[Mapping[str, str]],
    table: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    split: str,
) -> "Figure":
    """Accuracy over seeds: a histogram of a single setting, else a box for each of the best."""
    if len(table) == 1:
        return _histogram([100 * float(row["test_accuracy"]) for row in rows], "test")
    best = sorted(table, key=lambda entry: -entry[f"{split}_accuracy_mean"])[:SETTINGS_SHOWN]
    values = [
        [
            100 * float(row[f"{split}_accuracy"])
            for row in rows
            if all(row[name] == entry[name] for name in varied)
        ]
        for entry in best
    ]
    labels = [plain(", ".join(f"{name}={entry[name]}" for name in varied)) for entry in best]
    figure = new_figure(1.2 + 0.3 * len(best), width=WIDTH)
    axes = figure.add_subplot()
    axes.boxplot(values[::-1], orientation="horizontal", tick_labels=labels[::-1], whis=(0, 100))
    axes.set_xlabel(f"{split} accuracy over seeds, % (box: quartiles; whiskers: all)")
    axes.tick_params(axis="y", labelsize=SMALL)
    grid(axes, "x")
    if len(table) > len(best):
        axes.set_title(f"the best {len(best)} of {len(table)} settings", fontsize=SMALL)
    return figure


def _histogram(values: Sequence[float], split: str) -> "Figure":
    figure = new_figure(3.6, width=WIDTH)
    axes = figure.add_subplot()
    axes.hist(values, bins="auto", color="0.65", edgecolor="0.2")
    mean = float(np.mean(values))
    axes.axvline(mean, color="black", label=f"mean {mean:.2f} % (n={len(values)})")
    axes.axvline(float(np.min(values)), color="black", linestyle=":", label="least and greatest")
    axes.axvline(float(np.max(values)), color="black", linestyle=":")
    axes.set(xlabel=f"{split} accuracy, %", ylabel="runs")
    figure.legend(loc="outside upper center", ncols=2, fontsize=SMALL)
    return figure


def against(
    table: Sequence[Mapping[str, Any]], name: str, varied: Sequence[str], split: str
) -> "Figure":
    """Mean accuracy against a varied number, a line for each setting of the others."""
    figure = new_figure(4.2, width=WIDTH)
    axes = figure.add_subplot()
    others = [other for other in varied if other != name]
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for entry in table:
        label = ", ".join(f"{other}={entry[other]}" for other in others)
        lines.setdefault(label, []).append(entry)
    for index, (label, entries) in enumerate(lines.items()):
        entries.sort(key=lambda entry: float(entry[name]))
        deviations = [100 * entry[f"{split}_accuracy_std"] for entry in entries]
        axes.errorbar(
            [float(entry[name]) for entry in entries],
            [100 * entry[f"{split}_accuracy_mean"] for entry in entries],
            yerr=None if any(map(math.isnan, deviations)) else deviations,
            capsize=3,
            **style(index),
            label=plain(label) or None,
        )
    _scale(axes, [float(entry[name]) for entry in table])
    count = min(entry["n"] for entry in table)
    if count > 1:
        axes.set_title(f"mean and standard deviation over {count} seeds", fontsize=SMALL)
    axes.set(xlabel=plain(name), ylabel=f"{split} accuracy, %")
    grid(axes)
    if any(lines):
        figure.legend(loc="outside right upper", fontsize=SMALL)
    return figure


def heat_map(table: Sequence[Mapping[str, Any]], varied: Sequence[str], split: str) -> "Figure":
    """Mean accuracy of every pair of two varied settings, written into its cell."""
    down, across = varied
    values = {name: list(dict.fromkeys(entry[name] for entry in table)) for name in varied}
    cells = np.full((len(values[down]), len(values[across])), np.nan)
    for entry in table:
        cell = values[down].index(entry[down]), values[across].index(entry[across])
        cells[cell] = 100 * entry[f"{split}_accuracy_mean"]
    figure = new_figure(1.6 + 0.4 * len(cells), width=max(WIDTH * 0.6, 1.8 + 0.7 * cells.shape[1]))
    axes = figure.add_subplot()
    image = axes.imshow(cells, cmap="cividis", aspect="auto")
    axes.set_xticks(range(cells.shape[1]), [plain(value) for value in values[across]])
    axes.set_yticks(range(len(cells)), [plain(value) for value in values[down]])
    axes.set(xlabel=plain(across), ylabel=plain(down))
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (i, j), value in np.ndenumerate(cells):
        colour = "black" if value > middle else "white"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=SMALL)
    figure.colorbar(image, label=f"mean {split} accuracy, %")
    return figure


def _scale(axes: "Axes", values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) > LOGARITHMIC:
        axes.set_xscale("log")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
