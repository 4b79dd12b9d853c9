"""The figures of a comparison, as PNG: to be read on paper, in grey, too."""

import io
from collections.abc import Iterable
from typing import Any

from digits_jax.reports import drawing
from experiments.comparison import trajectory
from experiments.comparison.checks import FAULTS, NONE
from experiments.comparison.cost import GRADIENT
from experiments.comparison.methods import METHODS
from experiments.comparison.tables import Tables

FIGURES = ("trajectory", "cost", "faults")
LINES = ("-", "--", "-.", ":")


def draw(tables: Tables) -> dict[str, bytes]:
    """Every figure that the tables have rows for, as PNG."""
    figures = {
        "trajectory": draw_trajectory(tables) if tables.trajectory else None,
        "cost": draw_cost(tables),
        "faults": draw_faults(tables) if tables.curves else None,
    }
    return {name: in_few_colours(drawing.png(figure)) for name, figure in figures.items() if figure}


def in_few_colours(png: bytes) -> bytes:
    """The same picture in a third of the bytes."""
    from PIL import Image  # comes with matplotlib

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()


def plot(axes: Any, points: Iterable[Any], names: Iterable[str], name: str, **style: Any) -> None:
    """A curve through points (x, y), told apart from those of the other names even in grey."""
    n = list(names).index(name)
    axes.plot(*zip(*points, strict=True), **drawing.style(n) | {"linestyle": LINES[n % 4]} | style)


def draw_trajectory(tables: Tables) -> Any:
    """The distance between trainings over the steps."""
    figure, axes = _figure("training steps", "Euclidean distance of all parameters")
    axes.set_xscale("log")
    for method, dtype, reference in dict.fromkeys(row[:3] for row in tables.trajectory):
        path = [row[3:5] for row in tables.trajectory if row[:3] == (method, dtype, reference)]
        face = "white" if dtype == "float64" else None
        label = f"{method} {dtype}, from {reference}"
        if label != f"{reference}, from {reference}":
            plot(axes, path, METHODS, method, label=label, markevery=4, markerfacecolor=face)
    axes.axhline(trajectory.BOUND, color=drawing.BLACK, lw=0.8, ls=":")
    figure.legend(loc="outside lower center", fontsize=drawing.SMALL)
    return figure


def draw_cost(tables: Tables) -> Any:
    """What a gradient costs in forward passes, over the parameters and over the batch."""
    base = tables.cost[0].place
    rows = [row for row in tables.cost if row.what == GRADIENT]
    axes_of = {"parameters": "batch_size", "batch_size": "network"}  # what stays as it is
    figure, grid = _figure("", "time of one gradient, in forward passes", columns=2)
    for axes, (x, fixed) in zip(grid, axes_of.items(), strict=True):
        axes.set_xscale("log")
        axes.set_xlabel(x.replace("_", " "))
        here = [row for row in rows if getattr(row.place, fixed) == getattr(base, fixed)]
        for method in dict.fromkeys(row.method for row in here):
            points = sorted((getattr(r.place, x), r.ratio) for r in here if r.method == method)
            plot(axes, points, METHODS, method, label=method)
    handles = grid[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=drawing.SMALL)
    return figure


def draw_faults(tables: Tables) -> Any:
    """The loss curve of the right gradient and of every mistake."""
    figure, axes = _figure(
        "training steps", f"training loss, mean of {tables.curves[0].step} steps"
    )
    for fault in dict.fromkeys(row.fault for row in tables.curves):
        curve = [row[1:] for row in tables.curves if row.fault == fault]
        style: dict[str, Any] = {"markevery": max(1, len(curve) // 12)}
        if fault == NONE:  # seen around the curve of a mistake that changes nothing
            style |= {"markersize": 9, "markerfacecolor": "none"}
        plot(axes, curve, FAULTS, fault, label=FAULTS[fault], **style)
    figure.legend(loc="outside lower center", fontsize=drawing.SMALL)
    return figure


def _figure(x: str, y: str, columns: int = 1) -> tuple[Any, Any]:
    figure: Any = drawing.new_figure(4.4, width=6)
    found = figure.subplots(1, columns, sharey=True)
    for axes in figure.axes:
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    figure.axes[0].set(xlabel=x, ylabel=y)
    return figure, found
