"""The benchmark in Markdown, ready to be put on record."""

from collections.abc import Callable, Sequence

from experiments.benchmarks import epochs, floor, growth, networks, processes
from experiments.benchmarks.goals import GOALS, judge
from experiments.benchmarks.rows import Row, find
from experiments.cli.records import duration, table
from experiments.peers.classic import CLASSES, PIXELS

Rows = Sequence[Row]


def markdown(rows: Rows, header: str) -> str:
    """The header, the goals, then every section that has rows, under headings of level 3."""
    sections = [
        header,
        goals_section(rows),
        epochs_section(rows),
        floor_section(rows),
        processes_section(rows),
        growth_section(rows),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def paragraphs(*parts: str) -> str:
    """Those that are not empty, with empty lines between them."""
    return "\n\n".join(part for part in parts if part)


def goals_section(rows: Rows) -> str:
    """What is wanted, and what was measured."""
    verdicts = [judge(goal, rows) for goal in GOALS]
    return paragraphs("### Goals", table(["what", "goal", "measured", ""], verdicts))


def epochs_section(rows: Rows) -> str:
    """Section 1."""
    mine = [row for row in rows if row.section == epochs.SECTION]
    if not mine:
        return ""
    settings = list(dict.fromkeys(row.setting for row in mine))
    names = list(dict.fromkeys(row.name for row in mine))
    header = ["", *(f"batch {setting}" for setting in settings)]

    def lines(cell: Callable[[str, str], str]) -> str:
        return table(header, [[name, *(cell(name, s) for s in settings)] for name in names])

    def time(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "epoch")
        return _time(row) if row else ""

    def against_ours(name: str, setting: str) -> str:
        row, ours = (
            find(rows, epochs.SECTION, who, setting, "epoch") for who in (name, "autodiff")
        )
        return (
            f"{row.median / ours.median:.2f}" if row and ours and row.median and ours.median else ""
        )

    def accuracy(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "test accuracy")
        return _accuracy(row) if row else ""

    def cores(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "cores")
        return f"{row.median:.1f}" if row and row.median is not None else ""

    def form(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "epoch")
        return row.note if row and row.median else ""

    accuracies = [row for row in mine if row.quantity == "test accuracy"]
    seeds = max((row.n for row in accuracies), default=0)
    told = next((row.note for row in accuracies), "")
    return paragraphs(
        "### 1. One epoch",
        "784-30-10, sigmoid, quadratic cost, SGD 3.0, 10,000 images; each shuffles them anew every "
        "epoch and gathers its batches. Median (range) of turns in which all are timed one after "
        f"the other, n={max((row.n for row in mine if row.quantity == 'epoch'), default=0)}. "
        "scikit-learn has no quadratic cost: it trains softmax cross-entropy at a learning rate of "
        "0.3, as `autodiff, cross-entropy` does.",
        lines(time),
        "The same in times of `autodiff`:",
        lines(against_ours),
        f"Test accuracy in %, all after {told} epochs, median (range) over seeds, n={seeds}; at a "
        "learning rate of 3.0 a batch of 1 makes for noise:",
        lines(accuracy),
        "Cores that are busy meanwhile (processor time over time):",
        lines(cores),
        "The form of each peer, the fastest of those that were tried:",
        table(header, [[n, *(form(n, s) for s in settings)] for n in names if n in epochs.PEERS]),
    )


def _time(row: Row) -> str:
    return _with_range(row, duration)


def _accuracy(row: Row) -> str:
    return _with_range(row, lambda accuracy: f"{100 * accuracy:.2f}")


def _with_range(row: Row, show: Callable[[float], str]) -> str:
    if row.median is None or row.minimum is None or row.maximum is None:
        return row.note
    if row.n == 1:
        return show(row.median)
    return f"{show(row.median)} ({show(row.minimum)} to {show(row.maximum)})"


def floor_section(rows: Rows) -> str:
    """Section 2."""
    rates = [row for row in rows if row.section == epochs.FLOOR_SECTION]
    if not rates:
        return ""
    settings = list(dict.fromkeys(row.setting for row in rates))
    lines = []
    for name in dict.fromkeys(row.name for row in rates):
        cells = []
        for setting in settings:
            row = find(rates, epochs.FLOOR_SECTION, name, setting, "sgemm")
            cells.append(f"{row.median / 1e9:.0f}" if row and row.median else "")
        lines.append([name, *cells])
    shares = []
    for name in epochs.OURS:
        for one_core in (True, False):
            epoch_rows = [find(rows, epochs.SECTION, name, s, "epoch") for s in settings]
            found = [floor.share(rows, row, one_core) if row else None for row in epoch_rows]
            where = "one core" if one_core else "all cores"
            cells = ["" if share is None else f"{100 * share:.0f} %" for share in found]
            shares.append([f"{name}, of {where}", *cells])
    header = ["", *(f"batch {setting}" for setting in settings)]
    return paragraphs(
        "### 2. The floor",
        f"An epoch's matrix products are {floor.operations() / 1e9:.3f} GFLOP: forward, gradients "
        "of the weights, delta through the second layer. The rate of a large float32 product, in "
        "GFLOP/s, measured in the same turns:",
        table(header, lines),
        "The floor is their time at the highest rate of any library, on one core and on all (or "
        "on JAX's own device). Its share of the epoch:",
        table(header, shares),
    )


def processes_section(rows: Rows) -> str:
    """Section 3."""
    mine = [row for row in rows if row.section == processes.SECTION and row.quantity == "time"]
    if not mine:
        return ""

    def cell(row: Row, quantity: str, show: Callable[[float], str]) -> str:
        found = find(rows, row.section, row.name, row.setting, quantity)
        return "" if found is None else found.note if found.median is None else show(found.median)

    lines = [
        [
            row.name,
            row.setting,
            _time(row),
            cell(row, "memory", lambda size: f"{size / 1e6:.0f} MB"),
            cell(row, "test accuracy", lambda accuracy: f"{100 * accuracy:.2f}"),
        ]
        for row in mine
    ]
    phases = [*processes.PHASES, "total"]
    parts = [
        [row.name, row.setting, *(cell(row, phase, lambda s: f"{s:.2f}") for phase in phases)]
        for row in mine
        if find(rows, row.section, row.name, row.setting, "total")
    ]
    return paragraphs(
        "### 3. The whole process",
        "From the shell to the printed test accuracy; cold: with an empty compilation cache; warm: "
        "with that of an earlier run. `autodiff` and `manual` are `experiments.train`, which also "
        "scores 10,000 validation images after every epoch and writes metrics and model; the "
        "others train, and score the test images once. Median (range), "
        f"n={max(row.n for row in mine)}.",
        table(["", "", "time", "peak memory", "test accuracy, %"], lines),
        "Where the time of ours goes, in seconds by its own clock, from the start of the script "
        "on; what is done at the same time counts in both places, so that the sum may be more than "
        "the total:",
        table(["", "", *phases], parts),
    )


def growth_section(rows: Rows) -> str:
    """Section 4."""
    axes = {
        growth.IMAGES: "Time an image against the size of the training set (MNIST, repeated):",
        growth.WIDTH: "Against the width of one hidden layer; and for a thousand multiply-adds of "
        "the matrix products:",
        growth.DEPTH: f"Against the number of hidden layers of {growth.LAYER} units; and for a "
        "thousand multiply-adds:",
        networks.SECTION: "Time a network against their number:",
    }
    parts = []
    for axis, text in axes.items():
        mine = [row for row in rows if row.section == axis and row.median is not None]
        reasons = [row for row in rows if row.section == axis and row.median is None]
        if not mine:
            continue
        settings = sorted({row.setting for row in mine}, key=int)
        header = [axis, *(f"{int(setting):,}" for setting in settings), "flat within"]
        lines = []
        for name in dict.fromkeys(row.name for row in mine):
            times = {row.setting: row.median or 0.0 for row in mine if row.name == name}
            lines.append([name, *_cells(times, settings)])
            if axis in (growth.WIDTH, growth.DEPTH):
                each = {
                    setting: 2e3 * time / floor.operations(sizes(axis, int(setting)), 1)
                    for setting, time in times.items()
                }
                lines.append([f"{name}, a thousand multiply-adds", *_cells(each, settings)])
        left_out = "\n".join(f"- {r.name}, {int(r.setting):,}: {r.note}" for r in reasons)
        parts += [text, table(header, lines), left_out]
    if not parts:
        return ""
    return paragraphs("### 4. Growth", *parts)


def _cells(times: dict[str, float], settings: Sequence[str]) -> list[str]:
    found = [duration(times[setting]) if setting in times else "" for setting in settings]
    return [*found, f"{100 * flatness(list(times.values())):.0f} %"]


def sizes(axis: str, value: int) -> tuple[int, ...]:
    """The layers of a network on the axis of widths or of depths."""
    hidden = (value,) if axis == growth.WIDTH else (growth.LAYER,) * value
    return (PIXELS, *hidden, CLASSES)


def flatness(values: Sequence[float]) -> float:
    """By what part of the least the greatest is above it: 0 where all are equal."""
    return max(values) / min(values) - 1
