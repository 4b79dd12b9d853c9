"""The figures of a sweep: the spread over seeds, and accuracy against what was varied."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from digits_jax.findings import Found, words
from digits_jax.reports.drawing import SMALL, grid, new_figure, plain, png
from digits_jax.reports.sweep_figures import against, heat_map
from digits_jax.results import group
from digits_jax.statistics import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches
SETTINGS_SHOWN = 25


def draw(found: Found) -> dict[str, bytes]:
    """Every figure that the sweep has numbers for, as file name and PNG."""
    columns, varied, settings, split = found.columns, found.varied, found.settings, found.split
    figures = {"distribution.png": distribution(found)}
    for name in varied:
        if len(set(columns[name].tolist())) > 1 and columns[name].dtype.kind in "if":
            figure = figures[f"against-{name}.png"] = against(settings, name, varied, split)
            figure.axes[0].set_title("mean over seeds and its 95 % interval", fontsize=SMALL)
    if len(varied) == 2 and len(settings) > 1:
        best = next((entry for entry in settings if entry["best"]), None)
        figures["heat-map.png"] = heat_map(settings, varied, split, best)
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


def distribution(found: Found) -> "Figure":
    """Accuracy over seeds: a histogram of a single setting, else a box for each of the best."""
    if len(found.settings) == 1:
        return _histogram((100 * found.columns["test_accuracy"]).tolist(), "test")
    runs = group(found.columns, found.varied).values()
    scores = [100 * each[f"{found.split}_accuracy"] for each in runs]
    order = sorted(range(len(scores)), key=lambda number: -float(np.mean(scores[number])))
    best = order[:SETTINGS_SHOWN][::-1]  # from below
    values = [scores[number] for number in best]
    labels = [plain(words(found.settings[number], found.varied)) for number in best]
    figure = new_figure(1.2 + 0.3 * len(best), width=WIDTH)
    axes = figure.add_subplot()
    axes.boxplot(values, orientation="horizontal", tick_labels=labels, whis=(0, 100))
    axes.set_xlabel(f"{found.split} accuracy over seeds, % (box: quartiles; whiskers: all)")
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
