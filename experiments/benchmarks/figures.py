"""The figure of a benchmark: how time an image and time a network grow with what they depend on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from digits_jax.reports.drawing import SMALL, grid, new_figure, style
from experiments.benchmarks.measurements import (
    EPOCH,
    TIME_A_NETWORK,
    TIME_AN_IMAGE,
    Measurement,
    select,
)
from experiments.benchmarks.report import floor_seconds
from experiments.benchmarks.sections import IMAGES, NETWORKS
from experiments.peers.classic import TRAIN_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, PANEL = 11.0, 3.6  # inches
PANELS: tuple[tuple[str, str, float, str, str], ...] = (
    ("epochs", EPOCH, 1e6 / TRAIN_SIZE, "batch size", "an epoch: time an image, µs"),
    (IMAGES, TIME_AN_IMAGE, 1e6, IMAGES, f"{TIME_AN_IMAGE}, µs"),
    (NETWORKS, TIME_A_NETWORK, 1e3, "networks of a sweep", f"{TIME_A_NETWORK}, ms"),
)


def draw(found: Sequence[Measurement]) -> "Figure | None":
    """Every panel that there are times for, one below the other; `None` without any."""
    panels = [
        (times, unit, x, title)
        for section, quantity, unit, x, title in PANELS
        if (
            times := [m for m in select(found, section, quantity) if m.median and ":" not in m.name]
        )
    ]
    if not panels:
        return None
    figure = new_figure(PANEL * len(panels), WIDTH)
    for place, (times, unit, x, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        lines: dict[str, list[tuple[int, float]]] = {}
        for m in times:
            lines.setdefault(m.name, []).append((int(m.setting), unit * (m.median or 0.0)))
        ticks = sorted({int(m.setting) for m in times})
        if times[0].section == "epochs":
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            floors = {tick: floor_seconds(found, str(tick)) for tick in ticks}
            lines["matrix products alone"] = [(t, unit * s) for t, s in floors.items() if s]
        else:
            axes.set_ylim(0, 1.1 * max(y for line in lines.values() for _, y in line))
        for index, (name, line) in enumerate(lines.items()):
            dashes = "-" if name.startswith("autodiff") else "--"
            axes.plot(*zip(*line, strict=True), label=name, linestyle=dashes, **style(index))
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set(xlabel=x, title=title)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)
        grid(axes)
    return figure
