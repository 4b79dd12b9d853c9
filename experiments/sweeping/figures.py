"""The figures of a sweep: the spread over seeds, and accuracy against what was varied."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from digits_jax.reports.drawing import SMALL, grid, new_figure, plain, png, style
from digits_jax.results import Table, group
from digits_jax.statistics import Verdict
from experiments.sweeping.summary import Found, shown, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches
SETTINGS_SHOWN = 25
# Values that span more than this factor are drawn on a logarithmic axis.
LOGARITHMIC = 20


def draw(columns: Table, found: Found, varied: Sequence[str]) -> dict[str, bytes]:
    """Every figure that the sweep has numbers for, as file name and PNG.

    Args:
        columns: its runs, as `load_runs` gives them.
        found: what they say.
        varied: the names of the varied fields.
    """
    settings, split = found.settings, found.split
    figures = {"distribution.png": distribution(columns, settings, varied, split)}
    for name in varied:
        if len(set(columns[name].tolist())) > 1 and columns[name].dtype.kind in "if":
            figures[f"against-{name}.png"] = against(settings, name, varied, split)
    if len(varied) == 2 and len(settings) > 1:
        figures["heat-map.png"] = heat_map(settings, varied, split)
    if found.verdict.comparisons:
        figures["differences.png"] = differences(found.verdict, split)
    return {name: png(figure) for name, figure in figures.items()}


def differences(found: Verdict, split: str) -> "Figure":
    """How far the best setting is ahead of each other one, with 95 % intervals."""
    nearest = found.comparisons[:SETTINGS_SHOWN]
    figure = new_figure(1.2 + 0.3 * len(nearest), width=WIDTH)
    axes = figure.add_subplot()
    for place, one in enumerate(nearest):
        low, high = 100 * float(one.difference.low), 100 * float(one.difference.high)
        colour = "black" if one.beats else "0.6"
        axes.plot([low, high], [place, place], color=colour)
        axes.plot(100 * float(one.difference.mean), place, "o", color=colour)
    axes.axvline(0, color="black", linestyle=":")
    axes.set_yticks(range(len(nearest)), [plain(one.other) for one in nearest])
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.set_xlabel(f"points of {split} accuracy by which it is behind, 95 % (grey: not known)")
    axes.set_title(plain(f"{found.best}, seed by seed"), fontsize=SMALL)
    grid(axes, "x")
    return figure


def distribution(
    columns: Table, settings: Sequence[Mapping[str, Any]], varied: Sequence[str], split: str
) -> "Figure":
    """Accuracy over seeds: a histogram of a single setting, else a box for each of the best."""
    if len(settings) == 1:
        return _histogram((100 * columns["test_accuracy"]).tolist(), "test")
    scores = 100 * columns[f"{split}_accuracy"]
    groups = group(columns | {"score": scores}, varied)
    order = sorted(groups.items(), key=lambda each: -float(np.mean(each[1]["score"])))
    best = order[:SETTINGS_SHOWN]
    values = [runs["score"] for _, runs in best]
    labels = [plain(words(dict(zip(varied, key, strict=True)), varied)) for key, _ in best]
    figure = new_figure(1.2 + 0.3 * len(best), width=WIDTH)
    axes = figure.add_subplot()
    axes.boxplot(values[::-1], orientation="horizontal", tick_labels=labels[::-1], whis=(0, 100))
    axes.set_xlabel(f"{split} accuracy over seeds, % (box: quartiles; whiskers: all)")
    axes.tick_params(axis="y", labelsize=SMALL)
    grid(axes, "x")
    if len(order) > len(best):
        axes.set_title(f"the best {len(best)} of {len(order)} settings", fontsize=SMALL)
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
        label = words(entry, others)
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
    axes.set_xticks(range(cells.shape[1]), [plain(shown(value)) for value in values[across]])
    axes.set_yticks(range(len(cells)), [plain(shown(value)) for value in values[down]])
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
