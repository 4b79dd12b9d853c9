"""The figures of a comparison, as PNG: to be read on paper, in grey, too."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from digits_jax.reports import drawing
from digits_jax.reports.drawing import BLACK, BLUE, GREEN, PURPLE, SKY, VERMILION
from experiments.comparison import cost, exactness, faults, trajectory
from experiments.comparison.problem import Sweeps
from experiments.comparison.tables import Tables

# Told apart by marker and line even without colour.
STYLES = {
    "autodiff": {"color": BLACK, "marker": "o", "linestyle": "-"},
    "manual": {"color": VERMILION, "marker": "s", "linestyle": "--"},
    "numpy": {"color": BLUE, "marker": "^", "linestyle": "-."},
    "numpy_loops": {"color": SKY, "marker": "v", "linestyle": ":"},
    "forward_mode": {"color": GREEN, "marker": "D", "linestyle": "-"},
    "finite_differences": {"color": PURPLE, "marker": "X", "linestyle": "--"},
}
FAULT_STYLES = dict(zip((faults.NONE, *faults.FAULTS), STYLES.values(), strict=True))
EPSILONS = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-7}
FILES = ("exactness.png", "trajectory.png", "cost.png", "faults.png")


def draw(tables: Tables, sweeps: Sweeps, base: tuple[str, int]) -> dict[str, bytes]:
    """Every figure that the tables have rows for, as file name and PNG.

    Args:
        tables: of a comparison.
        sweeps: its sweeps.
        base: network and batch size of the point that the sweeps go through.
    """
    figures = {}
    if any(row.relative for row in tables.exactness if (row.network, row.batch_size) == base):
        figures["exactness.png"] = draw_exactness(tables.exactness, base)
    if tables.trajectory:
        figures["trajectory.png"] = draw_trajectory(tables.trajectory)
    if any(sweeps.values()):
        figures["cost.png"] = draw_cost(tables.cost, sweeps)
    if tables.fault_losses:
        figures["faults.png"] = draw_faults(tables.fault_losses)
    return {name: drawing.png(figure) for name, figure in figures.items()}


def draw_exactness(rows: Sequence[exactness.Row], base: tuple[str, int]) -> Any:
    """The largest relative difference of each method and type at the base point."""
    figure: Any = drawing.new_figure(4.5, width=10)
    axes = figure.subplots()
    largest: dict[tuple[str, str], float] = {}
    for row in rows:
        if (row.network, row.batch_size) == base and row.relative:
            key = row.dtype, row.method
            largest[key] = max(row.relative, largest.get(key, 0.0))
    methods = [name for name in STYLES if any(method == name for _, method in largest)]
    styles = {
        "float64": ("o", BLACK),
        "float32": ("s", VERMILION),
        "bfloat16": ("^", SKY),
    }
    for dtype, (marker, color) in styles.items():
        found = [name for name in methods if (dtype, name) in largest]
        if not found:
            continue
        positions = [methods.index(name) for name in found]
        heights = [largest[dtype, name] for name in found]
        axes.plot(positions, heights, marker, color=color, ms=9, label=dtype)
        axes.axhline(EPSILONS[dtype], color=color, lw=0.8, ls=":")
        axes.text(
            len(methods) - 0.5,
            EPSILONS[dtype],
            f"epsilon of {dtype}",
            va="bottom",
            ha="left",
            fontsize=8,
        )
    axes.set_yscale("log")
    axes.set_xlim(-0.5, len(methods) + 0.5)
    axes.set_xticks(range(len(methods)), [name.replace("_", "\n") for name in methods])
    axes.set_ylabel("largest relative difference\nfrom autodiff in float64")
    axes.set_title(f"Exactness of one gradient: {base[0]}, batch {base[1]}")
    axes.legend(title="computed in", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(axis="y", alpha=0.3)
    return figure


def draw_trajectory(rows: Sequence[trajectory.Row]) -> Any:
    """The distance between trainings over the steps."""
    figure: Any = drawing.new_figure(5, width=9)
    axes = figure.subplots()
    for method, dtype, reference in dict.fromkeys(row[:3] for row in rows):
        path = [row for row in rows if row[:3] == (method, dtype, reference)]
        style = STYLES[method] | {"markevery": 4, "markersize": 5}
        if dtype == "float64":
            style["markerfacecolor"] = "white"
        axes.plot(
            [row.step for row in path],
            [row.distance for row in path],
            label=f"{method} {dtype},\nfrom {reference}",
            **style,
        )
    axes.axhline(trajectory.BOUND, color="black", lw=0.8, ls=":")
    axes.text(1, trajectory.BOUND, "bound for float64: 1e-9", va="bottom", fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("training steps")
    axes.set_ylabel("Euclidean distance of all parameters")
    axes.set_title("Training from the same start on the same batches")
    axes.legend(title="trained with, distance from", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    return figure


def draw_cost(rows: Sequence[cost.Row], sweeps: Sweeps) -> Any:
    """Time of a gradient, and its ratio to the forward pass, along every sweep."""
    axes_of_sweeps = {
        "width": "parameters (one hidden layer, width varies)",
        "depth": "hidden layers",
        "batch": "images in the batch",
    }
    names = [name for name in axes_of_sweeps if sweeps[name]]
    figure: Any = drawing.new_figure(7, width=4 * len(names) + 1)
    grid = figure.subplots(2, len(names), squeeze=False, sharey="row", sharex="col")
    for column, name in enumerate(names):
        for method, style in STYLES.items():
            points = [_along(name, point, rows, method) for point in sweeps[name]]
            found = [(x, row) for x, row in points if row is not None]
            for axes, field in zip(
                grid[:, column], ("gradient_seconds", "gradient_ratio"), strict=True
            ):
                xs = [x for x, _ in found]
                ys = [getattr(row, field) for _, row in found]
                if xs:
                    axes.plot(xs, ys, label=method, markersize=6, **style)
        for axes in grid[:, column]:
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.grid(alpha=0.3)
        ticks = sorted({x for x, _ in (_along(name, p, rows, "") for p in sweeps[name])})
        grid[1, column].set_xticks(ticks, [_short(tick) for tick in ticks], minor=False)
        grid[1, column].set_xticks([], minor=True)
        grid[1, column].set_xlabel(axes_of_sweeps[name])
    grid[0, 0].set_ylabel("time of one gradient, seconds")
    grid[1, 0].set_ylabel("time of one gradient,\nin forward passes")
    handles: dict[str, Any] = {}
    for axes in grid[0]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles) or 1
    )
    return figure


def _short(number: int) -> str:
    """A number to three digits: 784, 23.9k, 2.39M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _along(
    axis: str, point: Any, rows: Sequence[cost.Row], method: str
) -> tuple[int, cost.Row | None]:
    """Where a point lies on an axis, and what `method` took there, if it ran."""
    network = "-".join(map(str, point.hidden))
    here = [
        row
        for row in rows
        if row.batch_size == point.batch_size and "-".join(row.network.split("-")[1:-1]) == network
    ]
    found = [row for row in here if row.method == method and row.gradient_seconds is not None]
    places = {
        "width": here[0].parameters if here else 0,
        "depth": len(point.hidden),
        "batch": point.batch_size,
    }
    return places[axis], found[0] if found else None


def draw_faults(rows: Sequence[faults.CurveRow]) -> Any:
    """The loss curve of the right gradient and of every mistake."""
    figure: Any = drawing.new_figure(5, width=9)
    axes = figure.subplots()
    for fault in dict.fromkeys(row.fault for row in rows):
        curve = [row for row in rows if row.fault == fault]
        axes.plot(
            [row.step for row in curve],
            [row.loss for row in curve],
            label="no mistake" if fault == faults.NONE else fault,
            markevery=max(1, len(curve) // 12),
            **FAULT_STYLES[fault],
            # Seen around the curve of a mistake that changes nothing.
            markersize=10 if fault == faults.NONE else 5,
            markerfacecolor="none" if fault == faults.NONE else None,
        )
    if np.isfinite([row.loss for row in rows]).all():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("training steps")
    axes.set_ylabel(f"training loss, mean of {rows[0].step} steps")
    axes.set_title("Classic mistakes in back-propagation by hand: the loss curve")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3, which="both")
    return figure
