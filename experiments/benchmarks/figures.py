"""The figure of a benchmark: bars of an epoch and of whole processes, lines of growth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from digits_jax.reports.drawing import BLUE, COLOURS, ORANGE, SMALL, grid, new_figure, style
from experiments.benchmarks.measurements import (
    EPOCH,
    TIME,
    TIME_A_NETWORK,
    TIME_AN_IMAGE,
    Measurement,
    select,
)
from experiments.benchmarks.report import floor_seconds
from experiments.benchmarks.sections import COMMANDS, IMAGES, NETWORKS, PROCESS
from experiments.cli.records import duration
from experiments.peers.classic import TRAIN_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("", "//", "..", "", "\\\\", "xx", "--", "oo")
WIDTH, PANEL = 11.0, 3.6  # inches


def draw(found: Sequence[Measurement]) -> "Figure":
    """Every panel that there are times for, one below the other."""
    panels = [
        (panel, title, times)
        for section, quantity, panel, title in (
            ("epochs", EPOCH, partial(_grouped, found), "an epoch of the classic training"),
            (PROCESS, TIME, _bars, "the default run as a whole process"),
            (IMAGES, TIME_AN_IMAGE, partial(_lines, 1e6), f"{TIME_AN_IMAGE}, µs"),
            (NETWORKS, TIME_A_NETWORK, partial(_lines, 1e3), f"{TIME_A_NETWORK}, ms"),
        )
        if (
            times := [m for m in select(found, section, quantity) if m.median and ":" not in m.name]
        )
    ]
    figure = new_figure(PANEL * max(1, len(panels)), WIDTH)
    for place, (panel, title, times) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        panel(axes, times)
        axes.set_title(title)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)
    return figure


def _grouped(found: Sequence[Measurement], axes: "Axes", times: Sequence[Measurement]) -> None:
    """Bars by batch size, and marks where the matrix products alone would end."""
    names = list(dict.fromkeys(m.name for m in times))
    settings = list(dict.fromkeys(m.setting for m in times))
    width, unit = 0.85 / len(names), 1e6 / TRAIN_SIZE
    for index, name in enumerate(names):
        mine = [m for m in times if m.name == name]
        offset = (index - (len(names) - 1) / 2) * width
        axes.bar(
            [settings.index(m.setting) + offset for m in mine],
            [unit * (m.median or 0.0) for m in mine],
            width,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
        )
    floors = [unit * (floor_seconds(found, setting) or 0.0) for setting in settings]
    axes.plot(floors, "_", markersize=30, color="black", label="matrix products alone")
    axes.set_yscale("log")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(settings)), [f"batch {setting}" for setting in settings])
    axes.set_ylabel("time an image, µs")
    grid(axes, "y")


def _bars(axes: "Axes", times: Sequence[Measurement]) -> None:
    for place, m in enumerate(times):
        seconds = m.median or 0.0
        axes.barh(place, seconds, color=BLUE if m.name in COMMANDS else ORANGE)
        axes.text(seconds, place, f" {duration(seconds)}", va="center", fontsize=SMALL)
    axes.set_yticks(range(len(times)), [f"{m.name}, {m.setting}" for m in times], fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.margins(x=0.2)
    grid(axes, "x")


def _lines(unit: float, axes: "Axes", times: Sequence[Measurement]) -> None:
    for index, name in enumerate(dict.fromkeys(m.name for m in times)):
        mine = [m for m in times if m.name == name]
        sizes, heights = [int(m.setting) for m in mine], [unit * (m.median or 0.0) for m in mine]
        line = "-" if "autodiff" in name else "--"
        axes.plot(sizes, heights, label=name, linestyle=line, **style(index))
    ticks = sorted({int(m.setting) for m in times})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(times[0].section)
    grid(axes)
