"""What is made of measurements: a page of tables, a figure, and the answer in about ten lines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from digits_jax.reports.drawing import SMALL, grid, new_figure, style
from experiments.benchmarks.cases import AUTODIFF, CNN_BATCH_SIZE, OPERATIONS, WAYS
from experiments.benchmarks.turns import Measurement
from experiments.cli.records import duration, table
from experiments.peers.classic import TRAIN_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Found = Sequence[Measurement]
Cells = Mapping[tuple[str, str], str]  # by row and column
EPOCH, ACCURACY, RATE, TIME, MEMORY = "epoch", "test accuracy", "sgemm", "time", "memory"
# Of a process of this project: where its time goes.
PHASES = ("import", "data", "compile", "train", "evaluate", "write", "total")
CNN_STEPS = TRAIN_SIZE // CNN_BATCH_SIZE
LABEL, CELL = 32, 14  # characters


def select(found: Found, section: str, quantity: str) -> list[Measurement]:
    """The measurements of a quantity, and the notes of those who could not be measured."""
    chosen = [m for m in found if m.section == section]
    return [m for m in chosen if m.quantity == quantity or m.median is None]


def of_ours(found: Found, m: Measurement) -> float | None:
    """The median of `autodiff` in the same setting."""
    keys = (m.section, AUTODIFF, m.setting, m.quantity)
    return next((o.median for o in found if (*o[:3], o.quantity) == keys), None)


def shown(m: Measurement, show: Callable[[float], str], spread: bool = True) -> str:
    """The median, with its range; if there is none, the reason."""
    if m.median is None or m.minimum is None or m.maximum is None:
        return m.note
    if m.n == 1 or not spread:
        return show(m.median)
    return f"{show(m.median)} ({show(m.minimum)} to {show(m.maximum)})"


def ratio(found: Found, m: Measurement) -> str:
    """The median divided by that of `autodiff`; if there is none, the reason."""
    ours = of_ours(found, m)
    return f"{m.median / ours:.2f}" if m.median and ours else m.note


def percent(part: float) -> str:
    """As in 93.77."""
    return f"{100 * part:.2f}"


def a_step(epoch: float) -> str:
    """The time of a step of the convolutional network."""
    return duration(epoch / CNN_STEPS)


def floor_seconds(found: Found, setting: str) -> float | None:
    """The time of an epoch's matrix products at the highest rate of any library."""
    rates = [m.median for m in found if m.quantity == RATE and m.setting == setting and m.median]
    return OPERATIONS / max(rates) if rates else None


def floor_share(found: Found, m: Measurement) -> float | None:
    """The part of an epoch's time that its matrix products need at the highest rate."""
    floor = floor_seconds(found, m.setting)
    return floor / m.median if floor and m.median else None


def cells(
    found: Found, section: str, quantity: str, show: Callable[[Measurement], str], column: str
) -> Cells:
    """The cells of a quantity: a row for each name, a column for each setting."""
    chosen = select(found, section, quantity)
    return {
        (m.name, f"{column}{m.setting}" if column else f"{int(m.setting):,}"): show(m)
        for m in chosen
    }


def processes(found: Found, section: str) -> Cells:
    """A row for each process, a column for each quantity."""
    columns: dict[str, Callable[[Measurement], str]] = {
        TIME: partial(shown, show=duration),
        MEMORY: partial(shown, show=lambda size: f"{size / 1e6:.0f} MB", spread=False),
        ACCURACY: partial(shown, show=percent, spread=False),
        **{phase: partial(shown, show="{:.2f}".format, spread=False) for phase in PHASES},
    }
    return {
        (", ".join(filter(None, (m.name, m.setting))), quantity): show(m)
        for quantity, show in columns.items()
        for m in found
        if m.section == section and m.quantity == quantity
    }


def pivot(cells: Cells) -> str:
    """A table from cells by row and column, both in the order of their first appearance."""
    rows, columns = (dict.fromkeys(key[axis] for key in cells) for axis in (0, 1))
    lines = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return table(["", *columns], lines)


def pages(found: Found) -> dict[str, list[tuple[str, Cells]]]:
    """The tables by heading, each with the words that explain it."""
    n = max((m.n for m in found), default=0)
    classic = partial(cells, found, "epochs", column="batch ")
    chosen = [m for m in found if m.form and m.quantity in (EPOCH, TIME)]
    return {
        "1. One epoch": [
            (
                "784-30-10, sigmoid, quadratic cost, SGD 3.0, 10,000 images, which each shuffles "
                "anew every epoch and gathers in batches. A turn is a process that trains 5 "
                "epochs and takes the median of the last 4; the cells are the median (range) of "
                f"{n} turns, which all take one after the other. scikit-learn has no quadratic "
                "cost: it trains softmax cross-entropy at a learning rate of 0.3, as `autodiff, "
                "cross-entropy` does.",
                classic(EPOCH, partial(shown, show=duration)),
            ),
            ("The same, divided by `autodiff`:", classic(EPOCH, partial(ratio, found))),
            (
                "Test accuracy in % after 5 epochs; at a batch size of 1, a learning rate of 3.0 "
                "is too large:",
                classic(ACCURACY, partial(shown, show=percent)),
            ),
            (
                "Each peer was tried in all its forms, on one thread and on all cores. The fastest "
                "took part:",
                {
                    (m.name, f"batch {m.setting}" if m.setting else "as a process"): m.form
                    for m in chosen
                    if m.section != "cnn"
                },
            ),
        ],
        "2. The floor": [
            (
                f"The matrix products of an epoch are {OPERATIONS / 1e9:.3f} GFLOP: forward, "
                "gradients of the weights, delta through the second layer. The rate of a large "
                "float32 product in GFLOP/s, measured by the same processes:",
                {
                    (m.name, f"batch {m.setting}"): f"{m.median / 1e9:.0f}"
                    for m in select(found, "epochs", RATE)
                    if m.median
                },
            ),
            (
                "At the highest rate of any library, the products take this share of an epoch:",
                {
                    (m.name, f"batch {m.setting}"): f"{100 * share:.0f} %"
                    for m in select(found, "epochs", EPOCH)
                    if m.name in WAYS and (share := floor_share(found, m))
                },
            ),
        ],
        "3. The whole process": [
            (
                "From the start of the process to its end, 30 epochs; cold: with an empty "
                "compilation cache; warm: with the cache of an earlier run. `autodiff` and "
                "`manual` are `experiments.train`, which also scores 10,000 validation images "
                "after every epoch and writes metrics and model; the others train, and score the "
                f"test images once. Median (range) of {n}. The columns after the test accuracy (in "
                "%) say where the time goes, in seconds by the script's own clock; things that "
                "happen at the same time count in both columns.",
                processes(found, "process"),
            ),
        ],
        "4. Growth": [
            (
                "Time of an image in an epoch, against the size of the training set (MNIST, "
                "repeated):",
                cells(found, "growth", EPOCH, an_image, ""),
            ),
            (
                "Time of a network, against the number of networks in a sweep:",
                cells(found, "sweeps", EPOCH, partial(shown, show=duration, spread=False), ""),
            ),
        ],
        "5. A convolutional network": [
            (
                "The network of `recipes/cnn.flags` (5x5 to 24 channels, stride 2; 3x3 to 48, "
                "stride 2; 3x3 to 96; dense; relu, softmax cross-entropy, AdamW), undistorted, "
                f"batch 64. Median (range) over {n} turns of a training step in an epoch of "
                f"{CNN_STEPS}, in which images are gathered; the same, divided by `autodiff`; and "
                "the test accuracy in % after two epochs of 10,000 images:",
                {
                    (m.name, column): show(m)
                    for quantity, column, show in (
                        (EPOCH, "a step", partial(shown, show=a_step)),
                        (EPOCH, "divided by ours", partial(ratio, found)),
                        (ACCURACY, "test accuracy", partial(shown, show=percent)),
                    )
                    for m in select(found, "cnn", quantity)
                },
            ),
        ],
        "6. The recipes": [
            (
                "Each recipe as `python -m experiments.train --flagfile=...`, seed 0, from the "
                f"start of the process to its end, as in 3. Median (range) of {n}.",
                processes(found, "recipes"),
            ),
        ],
    }


def an_image(m: Measurement) -> str:
    """The time of an image, from that of an epoch over so many."""
    return duration(m.median / int(m.setting)) if m.median else m.note


def markdown(found: Found, header: str, picture: str | None) -> str:
    """The title, the header, the picture if any, then every section that has measurements."""
    parts = ["# Benchmark", header]
    parts += [f"![Times of an epoch, growth]({picture})"] if picture else []
    for heading, tables in pages(found).items():
        filled = [part for text, cells in tables if cells for part in (text, pivot(cells))]
        parts += [f"## {heading}", *filled] if filled else []
    return "\n\n".join(parts) + "\n"


def draw(found: Found) -> "Figure | None":
    """How the time of an image and of a network grow; `None` without any."""
    panels: list[tuple[list[Measurement], Callable[[Measurement], float], str, str]] = [
        (times, unit, x, title)
        for section, unit, x, title in (
            ("epochs", lambda m: 1e6 / TRAIN_SIZE, "batch size", "an epoch: time an image, µs"),
            ("growth", lambda m: 1e6 / int(m.setting), "training images", "time an image, µs"),
            ("sweeps", lambda m: 1e3, "networks of a sweep", "time a network, ms"),
        )
        if (times := [m for m in select(found, section, EPOCH) if m.median])
    ]
    figure = new_figure(3.6 * len(panels), 11.0) if panels else None
    for place, (times, unit, x, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)  # type: ignore[union-attr]
        lines: dict[str, list[tuple[int, float]]] = {}
        for m in times:
            lines.setdefault(m.name, []).append((int(m.setting), unit(m) * (m.median or 0.0)))
            if times[0].section == "epochs" and m.name == AUTODIFF:
                floor = floor_seconds(found, m.setting)
                entry = [(int(m.setting), unit(m) * floor)] if floor else []
                lines.setdefault("matrix products alone", []).extend(entry)
        for index, (name, line) in enumerate(lines.items()):
            dashes = "-" if name.startswith(AUTODIFF) else "--"
            axes.plot(*zip(*line, strict=True), label=name, linestyle=dashes, **style(index))
        ticks = sorted({int(m.setting) for m in times})
        axes.set(xlabel=x, title=title, xscale="log", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=SMALL, frameon=False)
        grid(axes)
    return figure


def answer(found: Found) -> Iterator[str]:
    """What was found, for a terminal."""
    for section, what, show in (
        ("epochs", "10,000 images", duration),
        ("cnn", "convolutional step", a_step),
    ):
        times = select(found, section, EPOCH)
        ours = [m for m in times if m.name == AUTODIFF]
        if not ours:
            continue
        yield _row(what, [f"batch {m.setting}" for m in ours])
        yield _row(f"{AUTODIFF} takes", [shown(m, show, spread=False) for m in ours])
        for name in dict.fromkeys(m.name for m in times):
            if not name.startswith((AUTODIFF, "manual")):
                ratios = [ratio(found, m) for m in times if m.name == name]
                yield _row(f"{name} / {AUTODIFF}", ratios)
        if section == "epochs" and (shares := [s for m in ours if (s := floor_share(found, m))]):
            yield _row("products alone", [f"{share:.2f}" for share in shares])
    for section in ("process", "recipes"):
        memory = {m[:3]: m.median for m in found if m.quantity == MEMORY}
        for m in select(found, section, TIME):
            label = ", ".join(filter(None, (m.name, m.setting)))
            told = f", {(memory[m[:3]] or 0.0) / 1e6:.0f} MB" if m[:3] in memory else ""
            yield _row(label, [f"{shown(m, duration, spread=False)}{told}"])
    for section, what, one in (
        ("growth", "time an image", an_image),
        ("sweeps", "time a network", partial(shown, show=duration, spread=False)),
    ):
        times = [m for m in select(found, section, EPOCH) if m.median]
        for name in dict.fromkeys(m.name for m in times if m.name.startswith(AUTODIFF)):
            each = [f"{one(m)} of {int(m.setting):,}" for m in times if m.name == name]
            yield _row(what, [f"{', '.join(each)} ({name})"])


def _row(label: str, texts: Iterable[str]) -> str:
    return f"{label:<{LABEL}}{''.join(f'{text:>{CELL}}' for text in texts)}"
