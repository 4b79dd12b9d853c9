"""Figures of a sweep that its page and its PNG files share: accuracy against what was varied."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from digits_jax.findings import Setting, shown, words
from digits_jax.reports import drawing
from digits_jax.reports.drawing import SMALL, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def against(
    settings: Iterable[Setting], name: str, varied: Sequence[str], split: str, most: int = 0
) -> "Figure":
    """Mean accuracy against a varied number, a line for each setting of the others.

    A band around each line is the 95 % interval of the mean.

    Args:
        settings: as `findings.settings` gives them, in the order in which lines are named.
        name: the varied number.
        varied: the names of all varied fields.
        split: whose accuracy is shown.
        most: lines, the first ones; 0: all.
    """
    others = [other for other in varied if other != name]
    label = f"{split} accuracy"
    columns: dict[str, list[Any]] = {n: [] for n in (name, label, "low", "high", "others")}
    lines: dict[str, None] = {}
    for entry in settings:
        line = words(entry, others)
        if most and line not in lines and len(lines) == most:
            continue
        lines[line] = None
        mean, half = (entry[f"{split}_accuracy_{figure}"] for figure in ("mean", "ci95"))
        half = float(np.nan_to_num(half))
        row = float(entry[name]), mean, max(0.0, mean - half), min(1.0, mean + half), line
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    hue = "others" if others else ""
    return drawing.plot(columns, name, label, hue, ("low", "high"), share=True)


def heat_map(
    settings: Sequence[Setting],
    varied: Sequence[str],
    split: str,
    marked: Mapping[str, Any] | None = None,
) -> "Figure":
    """Mean accuracy of every pair of two varied settings, written into its cell.

    Args:
        settings: as `findings.settings` gives them.
        varied: the names of the two, down and across.
        split: whose accuracy is shown.
        marked: one of the settings, whose cell is framed.
    """
    from matplotlib.patches import Rectangle

    values = [sorted({entry[name] for entry in settings}, key=order) for name in varied]
    ticks = [[plain(shown(value)) for value in each] for each in values]

    def place(entry: Mapping[str, Any]) -> tuple[int, int]:
        row, column = (each.index(entry[n]) for each, n in zip(values, varied, strict=True))
        return row, column

    cells = np.full(tuple(map(len, values)), np.nan)
    for entry in settings:
        cells[place(entry)] = 100 * entry[f"{split}_accuracy_mean"]
    rows, columns = cells.shape
    figure = drawing.new_figure(1.6 + 0.4 * rows, width=max(drawing.WIDTH, 1.8 + 0.62 * columns))
    axes = figure.add_subplot()
    image = axes.imshow(cells, cmap="cividis", aspect="auto")
    axes.set_xticks(range(columns), ticks[1], rotation=90 if max(map(len, ticks[1])) > 9 else 0)
    axes.set_yticks(range(rows), ticks[0])
    axes.set(xlabel=plain(varied[1]), ylabel=plain(varied[0]))
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (row, column), value in np.ndenumerate(cells):
        if not np.isnan(value):
            look: Any = {"ha": "center", "va": "center", "fontsize": SMALL}
            colour = "#111111" if value > middle else "#fefefe"
            axes.text(column, row, f"{value:.2f}", color=colour, **look)
    if marked:
        row, column = place(marked)
        look = {"fill": False, "edgecolor": drawing.VERMILION, "lw": 3}
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
    figure.colorbar(image, label=f"{split} accuracy, %")
    return figure


def number(value: Any) -> float | None:
    """A value as a number, if it is one: also a single layer's size."""
    try:
        return float(value)
    except ValueError:
        return None


def order(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before other values by their letters."""
    found = number(value)
    return found is None, found or 0.0, str(value)
