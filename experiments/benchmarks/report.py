"""The benchmark in Markdown, ready to be put on record."""

from collections.abc import Callable, Sequence

from experiments.benchmarks import epochs, floor
from experiments.benchmarks.goals import GOALS, judge
from experiments.benchmarks.rows import Row, find
from experiments.markdown import duration, table

Rows = Sequence[Row]


def markdown(rows: Rows, header: str) -> str:
    """The header, the goals, then every section that has rows, under headings of level 4."""
    sections = [header, goals_section(rows), epochs_section(rows), floor_section(rows)]
    return "\n\n".join(section for section in sections if section) + "\n"


def paragraphs(*parts: str) -> str:
    """Those that are not empty, with empty lines between them."""
    return "\n\n".join(part for part in parts if part)


def goals_section(rows: Rows) -> str:
    """What is wanted, and what was measured."""
    verdicts = [judge(goal, rows) for goal in GOALS]
    return paragraphs("#### Goals", table(["what", "goal", "measured", ""], verdicts))


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
        return f"{100 * row.median:.2f}" if row and row.median is not None else ""

    def cores(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "cores")
        return f"{row.median:.1f}" if row and row.median is not None else ""

    def form(name: str, setting: str) -> str:
        row = find(rows, epochs.SECTION, name, setting, "epoch")
        return row.note if row and row.median else ""

    return paragraphs(
        "#### 1. One epoch",
        "784-30-10, sigmoid, quadratic cost, SGD 3.0, 10,000 images; each shuffles them anew every "
        "epoch and gathers its batches. Median (range) of turns in which all are timed one after "
        f"the other, n={max((row.n for row in mine if row.quantity == 'epoch'), default=0)}. "
        "scikit-learn has no quadratic cost: it trains softmax cross-entropy at a learning rate of "
        "0.3, as `autodiff, cross-entropy` does.",
        lines(time),
        "The same in times of `autodiff`:",
        lines(against_ours),
        "Test accuracy in %, after the same number of epochs, median over seeds:",
        lines(accuracy),
        "Cores that are busy meanwhile (processor time over time):",
        lines(cores),
        "The form of each peer, the fastest of those that were tried:",
        table(header, [[n, *(form(n, s) for s in settings)] for n in names if n in epochs.PEERS]),
    )


def _time(row: Row) -> str:
    if row.median is None:
        return row.note
    assert row.minimum is not None
    assert row.maximum is not None
    return f"{duration(row.median)} ({duration(row.minimum)} to {duration(row.maximum)})"


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
        "#### 2. The floor",
        f"An epoch's matrix products are {floor.operations() / 1e9:.3f} GFLOP: forward, gradients "
        "of the weights, delta through the second layer. The rate of a large float32 product, in "
        "GFLOP/s, measured in the same turns:",
        table(header, lines),
        "The floor is their time at the highest rate of any library, on one core and on all (or "
        "on JAX's own device). Its share of the epoch:",
        table(header, shares),
    )
