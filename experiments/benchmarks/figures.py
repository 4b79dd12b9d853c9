"""The figure of a benchmark: bars of an epoch and of whole processes, lines of growth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from digits_jax.reports.drawing import COLOURS, MARKERS, SMALL, new_figure
from experiments.benchmarks import epochs, floor, growth, processes
from experiments.benchmarks.measurements import Measurement, median, select
from experiments.benchmarks.networks import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measurements = Sequence[Measurement]
HATCHES = ("", "//", "..", "", "\\\\", "xx", "--", "oo")
WIDTH, PANEL = 11.0, 3.6  # inches


def draw(network: Network, measurements: Measurements) -> "Figure":
    """Every panel that there are times for, one below the other."""
    images = f"growth of the data: {growth.TIME_AN_IMAGE}, µs"
    networks = f"many networks at once: {growth.TIME_A_NETWORK}, ms"
    panels = [
        (panel, times)
        for section, quantity, panel in (
            (network.section, epochs.EPOCH, partial(_epochs, network, measurements)),
            (processes.SECTION, processes.TIME, partial(_processes, measurements)),
            (growth.IMAGES, growth.TIME_AN_IMAGE, partial(_lines, 1e6, images)),
            (growth.NETWORKS, growth.TIME_A_NETWORK, partial(_lines, 1e3, networks)),
        )
        if (times := [m for m in select(measurements, section, quantity) if m.median])
    ]
    figure = new_figure(PANEL * max(1, len(panels)), WIDTH)
    for place, (panel, times) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        panel(axes, times)
        axes.set_axisbelow(True)
    return figure


def _epochs(
    network: Network, measurements: Measurements, axes: "Axes", times: Measurements
) -> None:
    names = list(dict.fromkeys(m.name for m in times))
    settings = list(dict.fromkeys(m.setting for m in times))
    width, unit = 0.85 / len(names), 1e6 / network.images
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
    for one_core, marker, size in ((True, "_", 30), (False, "2", 15)):
        floors = [floor.seconds(network, measurements, s, one_core) for s in settings]
        found = [(place, unit * seconds) for place, seconds in enumerate(floors) if seconds]
        if found:
            label = f"floor, {'one core' if one_core else 'all cores'}"
            style: Any = {"linestyle": "", "marker": marker, "markersize": size, "color": "black"}
            axes.plot(*zip(*found, strict=True), label=label, **style)
    axes.set_yscale("log")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(settings)), [f"batch {setting}" for setting in settings])
    axes.set(ylabel="time an image, µs", title="one epoch of the classic training")
    axes.grid(axis="y", color="0.9")
    _legend(axes)


def _processes(measurements: Measurements, axes: "Axes", times: Measurements) -> None:
    for place, m in enumerate(times):
        seconds = m.median or 0.0
        axes.barh(place, seconds, color=COLOURS[0 if m.name in processes.OURS else 5])
        memory = median(measurements, *m[:3], processes.MEMORY) or 0.0
        told = f" {seconds:.2f} s, {memory / 1e6:.0f} MB"
        axes.text(seconds, place, told, va="center", fontsize=SMALL)
    axes.set_yticks(range(len(times)), [f"{m.name}, {m.setting}" for m in times], fontsize=SMALL)
    axes.invert_yaxis()
    axes.set(xlabel="seconds", title="the default run as a whole process, and its peak memory")
    axes.margins(x=0.2)
    axes.grid(axis="x", color="0.9")


def _lines(unit: float, title: str, axes: "Axes", times: Measurements) -> None:
    for index, name in enumerate(dict.fromkeys(m.name for m in times)):
        mine = [m for m in times if m.name == name]
        axes.plot(
            [int(m.setting) for m in mine],
            [unit * (m.median or 0.0) for m in mine],
            label=name,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linestyle="-" if "autodiff" in name else "--",
        )
    ticks = sorted({int(m.setting) for m in times})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.1 * unit * max(m.median or 0.0 for m in times))
    axes.set(xlabel=times[0].section, title=title)
    axes.grid(color="0.9")
    _legend(axes)


def _legend(axes: "Axes") -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)
