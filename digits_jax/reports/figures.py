"""Pictures of metrics, weights and mistakes, as matplotlib figures that stand on no global state.

Each raises a ValueError of one line where matplotlib is not installed.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from digits_jax.reports import drawing
from digits_jax.reports.calibration import Reliability
from digits_jax.reports.drawing import SMALL, WIDTH, new_figure
from digits_jax.runs.reading import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MISTAKE_COLUMNS = 4
WEIGHTS_SHOWN = 99.5  # per cent of the weights within the colour scale
# Counts of four digits fit into a cell of so many inches.
CONFUSION_CELL = 0.4
# Of more classes no counts are shown: a square of so many inches, and at most so many cells.
CONFUSION_COUNTED, CONFUSION_SIDE, CONFUSION_CELLS = 40, 8.0, 400

MARKERS_PER_LINE = 8
# Courses that differ by more than this factor in length are drawn on a logarithmic axis.
LOGARITHMIC = 10


class Curve(NamedTuple):
    """A metric after every epoch, of runs that differ only in their seed.

    A legend names the curves unless all labels are empty. `validation` is NaN where there were no
    validation images, and both are after a run's last epoch. `style` chooses colour and marker, so
    that a group of runs looks the same in every picture.
    """

    label: str
    training: Float[np.ndarray, "runs epochs"]
    validation: Float[np.ndarray, "runs epochs"]
    style: int = 0


def learning_curves(curves: Sequence[Curve], quantity: str, shares: bool = False) -> "Figure":
    """A metric over epochs: lines are means over runs, bands reach from the least to the greatest.

    Args:
        curves: at least one.
        quantity: what the vertical axis says.
        shares: whether to write its numbers as percentages.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    named = any(curve.label for curve in curves)
    figure = new_figure(3.5 + 0.2 * len(curves) * named)
    axes = figure.add_subplot()
    for curve in curves:
        look = drawing.style(curve.style)
        for metric, line, fill in (
            (curve.training, "--", "white"),
            (curve.validation, "-", look["color"]),
        ):
            epochs = np.arange(1, metric.shape[1] + 1)
            every = max(1, math.ceil(len(epochs) / MARKERS_PER_LINE))
            there = np.ma.masked_invalid(metric)
            mean = there.mean(axis=0).filled(np.nan)
            axes.plot(epochs, mean, line, markerfacecolor=fill, markevery=every, **look)
            if len(metric) > 1:
                band = (end(axis=0).filled(np.nan) for end in (there.min, there.max))
                axes.fill_between(epochs, *band, color=look["color"], alpha=0.25, linewidth=0)
    axes.set(xlabel="epoch", ylabel=quantity)
    lengths = [curve.training.shape[1] for curve in curves]
    if max(lengths) > LOGARITHMIC * min(lengths):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if shares:
        axes.yaxis.set_major_formatter(drawing.percent)
    else:
        axes.set_ylim(bottom=0)
    drawing.grid(axes)

    neutral = "0.3" if named else drawing.style(curves[0].style)["color"]
    handles: list[Any] = [Line2D([], [], color=neutral, linestyle="--", label="training")]
    if not all(np.isnan(curve.validation).all() for curve in curves):
        handles.insert(0, Line2D([], [], color=neutral, label="validation"))
    if any(len(curve.training) > 1 for curve in curves):
        handles.append(Patch(color=neutral, alpha=0.25, linewidth=0, label="range over seeds"))
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    if named:
        handles = [
            Line2D(
                [], [], label=drawing.plain(f"{label} (n={len(training)})"), **drawing.style(index)
            )
            for label, training, _, index in curves
        ]
        figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=SMALL)
    return figure


def confusion_matrix(
    confusion: Int[np.ndarray, "classes classes"], class_names: Sequence[str]
) -> "Figure":
    """Counts by label and prediction, the cells as dark as their share of the label's images.

    Of more than `CONFUSION_COUNTED` classes without the counts, and by the number of the class.
    """
    from matplotlib.colors import PowerNorm

    classes = len(confusion)
    names = drawing.printable(class_names)
    counted = classes <= CONFUSION_COUNTED
    side = max(WIDTH, 0.8 + CONFUSION_CELL * classes) if counted else CONFUSION_SIDE
    figure = new_figure(side, width=side)
    axes = figure.add_subplot()
    merged = -(-classes // CONFUSION_CELLS)  # classes to a cell
    starts = np.arange(0, classes, merged)
    cells = np.add.reduceat(np.add.reduceat(confusion, starts, axis=0), starts, axis=1)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    # Few mistakes among many right: the power lifts them out of white.
    extent = (-0.5, classes - 0.5, classes - 0.5, -0.5)
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, vmin=0, vmax=1), extent=extent)
    axes.set(xlabel="predicted class", ylabel="label")
    if not counted:
        axes.tick_params(labelsize=SMALL)
        return figure
    for (row, column), count in np.ndenumerate(confusion):
        colour = "0.6" if count == 0 else "white" if shares[row, column] > 0.3 else "#111111"
        axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=SMALL)
    ticks = np.arange(classes)
    upright = max(map(len, names)) > 3
    axes.set_xticks(ticks, names, rotation=90 if upright else 0, fontsize=SMALL)
    axes.set_yticks(ticks, names, fontsize=SMALL)
    axes.tick_params(length=0)
    return figure


def _columns(count: int, ideal: float) -> int:
    """Columns of a grid of `count` cells: near the ideal, with few cells left empty."""
    least, most = (min(count, math.ceil(factor * ideal)) for factor in (0.8, 1.25))
    near = range(least, most + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - ideal)))


def tiles(
    images: Shaped[np.ndarray, "n height width"],
    columns: int,
    captions: Sequence[str] | None = None,
    **look: Any,
) -> tuple["Figure", "Axes", "AxesImage"]:
    """Images in rows, each above its caption: on one pair of axes, which is far quicker than many.

    The axes' unit is the inch.

    Args:
        images: at least one; all of one shape.
        columns: images in a row.
        captions: one for each image, of equally many lines; by default none.
        look: of the images, as `imshow` takes it.
    """
    captions = [""] * len(images) if captions is None else captions
    height, width = images.shape[1:]
    # A single row or column of pixels leaves some of its room empty.
    pitch = WIDTH / columns
    cell_width, cell_height = 0.9 * pitch, 0.9 * pitch * min(4, max(0.25, height / width))
    scale = min(cell_width / width, cell_height / height)
    across, down = scale * width, scale * height
    text_height = 0.2 * (1 + captions[0].count("\n")) if captions[0] else 0.1 * pitch
    row_height = cell_height + text_height
    rows = math.ceil(len(images) / columns)
    figure = new_figure(rows * row_height + 0.1)
    axes = figure.add_subplot()
    axes.set_axis_off()
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(index, columns)
        middle, top = (column + 0.5) * pitch, row * row_height
        extent = (middle - across / 2, middle + across / 2, top + down, top)
        picture = axes.imshow(image, extent=extent, **look)
        size = 8.5 if columns <= 8 else 7.0
        axes.text(middle, top + down + 0.03, caption, ha="center", va="top", fontsize=size)
    axes.set(xlim=(0, WIDTH), ylim=(rows * row_height, 0))
    return figure, axes, picture


def weights(
    images: Float[np.ndarray, "units height width"], titles: Sequence[str] | None = None
) -> "Figure":
    """The weights of each unit as a picture: white is zero, orange is positive, blue negative.

    One scale serves all units. The few weights beyond it have the colours at its ends: otherwise
    they would leave all others pale.

    Args:
        images: the weights, arranged as the pixels that they belong to.
        titles: one under each picture; by default the index of the unit.
    """
    units, height, width = images.shape
    names = list(map(str, range(units))) if titles is None else drawing.printable(titles)
    limit = float(np.percentile(np.abs(images), WEIGHTS_SHOWN)) or 1.0
    columns = _columns(units, ideal=math.sqrt(1.2 * units * height / width))
    figure, axes, picture = tiles(
        images, columns, names, cmap=drawing.signed(), vmin=-limit, vmax=limit
    )
    bar_height = 0.6
    figure.set_figheight(figure.get_figheight() + bar_height)
    bar = figure.colorbar(picture, ax=axes, location="bottom", aspect=40, pad=0, extend="both")
    bar.set_label("weight")
    return figure


def mistakes(
    images: UInt8[Any, "n height width"], predictions: Predictions, class_names: Sequence[str]
) -> "Figure":
    """Images taken for another class; under each its label, then what it was taken for."""
    names = drawing.printable(class_names)
    captions = [
        f"{names[label]}: {probabilities[label]:.1%}\n"
        f"\N{RIGHTWARDS ARROW}{names[predicted]}: {probabilities[predicted]:.1%}"
        for label, predicted, probabilities in zip(*predictions[:3], strict=True)
    ]
    return tiles(images, MISTAKE_COLUMNS, captions, cmap="gray", vmin=0, vmax=255)[0]


def distorted(images: Float[np.ndarray, "images times height width"]) -> "Figure":
    """A row for each image: as it is, then as it was distorted."""
    rows, columns, *shape = images.shape
    return tiles(images.reshape(rows * columns, *shape), columns, cmap="gray", vmin=0, vmax=1)[0]


def reliability_diagram(reliability: Reliability) -> "Figure":
    """Accuracy over confidence (Guo et al., 2017, figure 1), above how many predictions there are.

    The expected calibration error is the mean length of the orange lines, each counted as often as
    its bin has predictions.
    """
    counts, accuracy, confidence = reliability
    bins = len(counts)
    left = np.arange(bins) / bins
    figure = new_figure(5.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = counts > 0
    above.bar(
        left[filled],
        accuracy[filled],
        width=1 / bins,
        align="edge",
        color="#9ecae1",
        edgecolor="white",
        label="accuracy of a bin",
    )
    above.plot([0, 1], [0, 1], "--", color="0.3", label="perfectly calibrated")
    above.vlines(
        confidence[filled],
        confidence[filled],
        accuracy[filled],
        color=drawing.VERMILION,
        linewidth=2.5,
        label="gap",
    )
    above.plot(confidence[filled], accuracy[filled], "o", color=drawing.VERMILION, markersize=4)
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    above.yaxis.set_major_formatter(drawing.percent)
    figure.legend(loc="outside upper center", ncols=3, fontsize=SMALL, frameon=False)
    below.bar(left, counts, width=1 / bins, align="edge", color="0.5", edgecolor="white")
    below.set(xlabel="confidence: probability of the predicted class", ylabel="predictions")
    below.set_yscale("log")
    below.set_ylim(0.5, 2 * counts.max())
    below.xaxis.set_major_formatter(drawing.percent)
    for axes in (above, below):
        drawing.grid(axes)
    return figure
