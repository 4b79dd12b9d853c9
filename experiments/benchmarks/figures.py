"""The figure of a benchmark: bars of an epoch and of whole processes, lines of growth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from digits_jax.reports.drawing import COLOURS, MARKERS, SMALL, new_figure
from experiments.benchmarks import epochs, floor, growth, networks, processes
from experiments.benchmarks.rows import Row, find
from experiments.peers.classic import TRAIN_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Row]
HATCHES = ("", "//", "..", "", "\\\\", "xx", "--", "oo")
PANEL = 5.5  # inches


def draw(rows: Rows) -> "Figure | None":
    """Every panel that there are rows for, one below the other; `None` where there is none."""
    panels = [
        (panel, [row for row in rows if row.section == section and row.median is not None])
        for section, panel in (
            (epochs.SECTION, _epochs),
            (processes.SECTION, _processes),
            (growth.IMAGES, _images),
            (networks.SECTION, _networks),
        )
    ]
    panels = [(panel, mine) for panel, mine in panels if mine]
    if not panels:
        return None
    figure = new_figure(3.6 * len(panels), width=2 * PANEL)
    for axes, (panel, mine) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True
    ):
        panel(axes, [row for row in rows if row.section == epochs.FLOOR_SECTION] + mine)
        axes.set_axisbelow(True)
    return figure


def _epochs(axes: "Axes", rows: Rows) -> None:
    mine = [row for row in rows if row.section == epochs.SECTION and row.quantity == "epoch"]
    names = list(dict.fromkeys(row.name for row in mine))
    settings = list(dict.fromkeys(row.setting for row in mine))
    width = 0.85 / len(names)
    for index, name in enumerate(names):
        found = [(settings.index(row.setting), row) for row in mine if row.name == name]
        microseconds = [1e6 * (row.median or 0.0) / TRAIN_SIZE for _, row in found]
        axes.bar(
            [place + (index - (len(names) - 1) / 2) * width for place, _ in found],
            microseconds,
            width,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
        )
    for one_core, marker in ((True, "_"), (False, "2")):
        rates = [floor.fastest(rows, setting, one_core) for setting in settings]
        floors = [
            (place, 1e6 * floor.operations(images=1) / rate.median)
            for place, rate in enumerate(rates)
            if rate and rate.median
        ]
        if floors:
            axes.plot(
                *zip(*floors, strict=True),
                linestyle="",
                marker=marker,
                markersize=30 if one_core else 15,
                color="black",
                label=f"floor, {'one core' if one_core else 'all cores'}",
            )
    axes.set_yscale("log")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(settings)), [f"batch {setting}" for setting in settings])
    axes.set(ylabel="time an image, µs", title="one epoch of the classic training")
    axes.grid(axis="y", color="0.9")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)


def _processes(axes: "Axes", rows: Rows) -> None:
    mine = [row for row in rows if row.section == processes.SECTION and row.quantity == "time"]
    for place, row in enumerate(mine):
        assert row.median is not None
        colour = COLOURS[0] if find(rows, *row[:3], "total") else COLOURS[5]
        axes.barh(place, row.median, color=colour)
        memory = find(rows, *row[:3], "memory")
        told = f" {memory.median / 1e6:.0f} MB" if memory and memory.median else ""
        axes.text(row.median, place, f" {row.median:.2f} s,{told}", va="center", fontsize=SMALL)
    labels = [f"{row.name}{', ' if row.setting else ''}{row.setting}" for row in mine]
    axes.set_yticks(range(len(mine)), labels, fontsize=SMALL)
    axes.invert_yaxis()
    axes.set(xlabel="seconds", title="the default run as a whole process, and its peak memory")
    axes.margins(x=0.2)
    axes.grid(axis="x", color="0.9")


def _images(axes: "Axes", rows: Rows) -> None:
    _lines(axes, [row for row in rows if row.section == growth.IMAGES], 1e6)
    axes.set(xlabel="training images", ylabel="time an image, µs", title="growth of the data")


def _networks(axes: "Axes", rows: Rows) -> None:
    _lines(axes, [row for row in rows if row.section == networks.SECTION], 1e3)
    axes.set(xlabel="networks", ylabel="time a network, ms", title="many networks at once")


def _lines(axes: "Axes", rows: Rows, unit: float) -> None:
    for index, name in enumerate(dict.fromkeys(row.name for row in rows)):
        line = sorted((row for row in rows if row.name == name), key=lambda row: int(row.setting))
        axes.plot(
            [int(row.setting) for row in line],
            [unit * (row.median or 0.0) for row in line],
            label=name,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linestyle="-" if "autodiff" in name else "--",
        )
    ticks = sorted({int(row.setting) for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.1 * unit * max(row.median or 0.0 for row in rows))
    axes.grid(color="0.9")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)
