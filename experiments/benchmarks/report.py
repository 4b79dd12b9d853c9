"""What is made of measurements: a page of tables, and the answer in about ten lines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from experiments.benchmarks.measurements import (
    ACCURACY,
    EPOCH,
    MEMORY,
    RATE,
    TIME,
    TIME_A_NETWORK,
    TIME_AN_IMAGE,
    Measurement,
    median,
    select,
)
from experiments.benchmarks.sections import (
    IMAGES,
    NETWORKS,
    PHASES,
    PROCESS,
    RECIPES,
    SCRIPTS,
)
from experiments.benchmarks.trainings import AUTODIFF, CNN, CNN_BATCH_SIZE, OPERATIONS
from experiments.cli.records import duration, table
from experiments.peers.classic import TRAIN_SIZE

Found = Sequence[Measurement]
Cells = Mapping[tuple[str, str], str]  # by row and column
CNN_STEPS = TRAIN_SIZE // CNN_BATCH_SIZE
LABEL, CELL = 32, 14  # characters


def markdown(found: Found, header: str, picture: str | None) -> str:
    """The title, the header, the picture if any, then every section that has measurements."""
    parts = [
        "# Benchmark",
        header,
        *([f"![Times of an epoch, growth]({picture})"] if picture else []),
    ]
    for heading, tables in pages(found).items():
        shown = [part for text, cells in tables if cells for part in (text, pivot(cells))]
        parts += [f"## {heading}", *shown] if shown else []
    return "\n\n".join(parts) + "\n"


def pages(found: Found) -> dict[str, list[tuple[str, Cells]]]:
    """By heading every table, below the words that explain it."""
    classic = partial(cells, found, "epochs")
    n = max((m.n for m in found), default=0)
    return {
        "1. One epoch": [
            (
                "784-30-10, sigmoid, quadratic cost, SGD 3.0, 10,000 images; each shuffles them "
                "anew every epoch and gathers its batches. Median (range) of turns in which all "
                f"are timed one after the other, n={n}. scikit-learn has no quadratic cost: it "
                "trains softmax cross-entropy at a learning rate of 0.3, as `autodiff, "
                "cross-entropy` does.",
                classic(EPOCH, spread),
            ),
            ("The same in times of `autodiff`:", classic(EPOCH, partial(against_ours, found))),
            (
                "Test accuracy in % after 5 epochs, median (range) over a seed a turn; at a "
                "learning rate of 3.0 a batch of 1 makes for noise:",
                classic(ACCURACY, partial(spread, show=percent)),
            ),
        ],
        "2. The floor": [
            (
                f"An epoch's matrix products are {OPERATIONS / 1e9:.3f} GFLOP: forward, gradients "
                "of the weights, delta through the second layer. The rate of a large float32 "
                "product, in GFLOP/s, measured in the same turns:",
                classic(RATE, lambda m: f"{(m.median or 0.0) / 1e9:.0f}"),
            ),
            (
                "The floor is their time at the highest rate of any library. Its share of the "
                "epoch:",
                {
                    (m.name, f"batch {m.setting}"): f"{100 * share:.0f} %"
                    for m in select(found, "epochs", EPOCH)
                    if m.name in (AUTODIFF, "manual") and (share := floor_share(found, m))
                },
            ),
        ],
        "3. The whole process": [
            (
                "From the shell to the printed test accuracy (in %), 30 epochs; cold: with an "
                "empty compilation cache; warm: with that of an earlier run. `autodiff` and "
                "`manual` are `experiments.train`, which also scores 10,000 validation images "
                "after every epoch and writes metrics and model; the others train, and score the "
                f"test images once. Median (range), n={n}. Then where the time of ours goes, in "
                "seconds by its own clock, from the start of the script on; what is done at the "
                "same time counts in both places, so that the sum may be more than the total.",
                whole(found, PROCESS),
            ),
        ],
        "4. Growth": [
            (
                f"{quantity.capitalize()} against {text}:",
                cells(found, section, quantity, middle, growing),
            )
            for section, quantity, text in (
                (IMAGES, TIME_AN_IMAGE, "the size of the training set (MNIST, repeated)"),
                (NETWORKS, TIME_A_NETWORK, "the number of networks of a sweep"),
            )
        ],
        "5. A convolutional network": [
            (
                "The network of `recipes/cnn.flags` (5x5 to 24 channels, stride 2; 3x3 to 48, "
                "stride 2; 3x3 to 96; dense; relu, softmax cross-entropy, AdamW), undistorted, "
                f"batch 64. Median (range) of a training step in an epoch of {CNN_STEPS}, in which "
                f"images are gathered, n={n}; in times of `autodiff`; and the test accuracy in % "
                "after two epochs of 10,000 images:",
                {
                    (m.name, column): show(m)
                    for quantity, column, show in (
                        (EPOCH, "a step", partial(spread, show=a_step)),
                        (EPOCH, "in times of ours", partial(against_ours, found)),
                        (ACCURACY, "test accuracy", partial(spread, show=percent)),
                    )
                    for m in select(found, CNN.section, quantity)
                },
            ),
        ],
        "6. The recipes": [
            (
                "Each given to `python -m experiments.train` as `--flagfile`, from the shell to "
                f"the printed test accuracy (in %, seed 0), as in 3., n={n}:",
                whole(found, RECIPES),
            ),
        ],
    }


def whole(found: Found, section: str) -> Cells:
    """A row for each process, a column for each of its quantities."""
    return {
        (f"{m.name}, {m.setting}", quantity): show(m)
        for quantity, show in PROCESS_COLUMNS.items()
        for m in select(found, section, quantity)
    }


def a_step(epoch: float) -> str:
    """The time of a step, from that of an epoch of the convolutional network."""
    return duration(epoch / CNN_STEPS)


def by_batch(m: Measurement) -> tuple[str, str]:
    """Row and column of a measurement whose setting is a batch size."""
    return m.name, f"batch {m.setting}"


def growing(m: Measurement) -> tuple[str, str]:
    """Row and column of a measurement whose setting is a number."""
    return m.name, f"{int(m.setting):,}"


def cells(
    found: Found,
    section: str,
    quantity: str,
    show: Callable[[Measurement], str],
    place: Callable[[Measurement], tuple[str, str]] = by_batch,
) -> dict[tuple[str, str], str]:
    """Those of a quantity, each in its place."""
    return {place(m): show(m) for m in select(found, section, quantity)}


def pivot(cells: Cells) -> str:
    """A table from cells by row and column, both in the order of their first appearance."""
    rows, columns = (dict.fromkeys(key[axis] for key in cells) for axis in (0, 1))
    lines = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return table(["", *columns], lines)


def middle(m: Measurement, show: Callable[[float], str] = duration) -> str:
    """The median; where there is none, why."""
    return m.note if m.median is None else show(m.median)


def spread(m: Measurement, show: Callable[[float], str] = duration) -> str:
    """The median with its range; where there is none, why."""
    if m.minimum is None or m.maximum is None or m.n == 1:
        return middle(m, show)
    return f"{middle(m, show)} ({show(m.minimum)} to {show(m.maximum)})"


def percent(part: float) -> str:
    """As in 93.77."""
    return f"{100 * part:.2f}"


PROCESS_COLUMNS: dict[str, Callable[[Measurement], str]] = {
    TIME: spread,
    MEMORY: partial(middle, show=lambda size: f"{size / 1e6:.0f} MB"),
    ACCURACY: partial(middle, show=percent),
    **{phase: partial(middle, show="{:.2f}".format) for phase in PHASES},
}


def against_ours(found: Found, m: Measurement) -> str:
    """The median in times of that of `autodiff`."""
    ours = median(found, m.section, AUTODIFF, m.setting, m.quantity)
    return f"{m.median / ours:.2f}" if m.median and ours else ""


def floor_seconds(found: Found, setting: str) -> float | None:
    """The time of an epoch's products at the highest rate of any library."""
    rates = [m.median for m in select(found, "epochs", RATE) if m.median and m.setting == setting]
    return OPERATIONS / max(rates) if rates else None


def floor_share(found: Found, m: Measurement) -> float | None:
    """Its part of the time of an epoch: 1 where there is nothing but matrix products."""
    floor = floor_seconds(found, m.setting)
    return floor / m.median if floor and m.median else None


def answer(found: Found) -> Iterator[str]:
    """What was found, for a terminal."""
    for section, (what, show) in SHOWN.items():
        yield from _beside_peers(found, section, what, show)
    wholes = select(found, PROCESS, TIME)
    for which, processes in (
        ("whole, 30 epochs", [m for m in wholes if m.name == AUTODIFF]),
        ("others", [m for m in wholes if m.name in SCRIPTS]),
        ("recipes", select(found, RECIPES, TIME)),
    ):
        texts = [
            f"{m.name} {m.setting} {duration(m.median)}, {memory / 1e6:.0f} MB"
            for m in processes
            if m.median and (memory := median(found, *m[:3], MEMORY))
        ]
        if texts:
            yield _row(which, ["; ".join(texts)])
    for section, quantity in ((IMAGES, TIME_AN_IMAGE), (NETWORKS, TIME_A_NETWORK)):
        times = [m for m in select(found, section, quantity) if m.name.startswith(AUTODIFF)]
        if times := [m for m in times if m.median]:
            best = min(times, key=lambda m: m.median or 0.0).name
            each = [f"{middle(m)} of {int(m.setting):,}" for m in times if m.name == best]
            yield _row(quantity, [f"{', '.join(each)} ({best})"])


# What is timed beside its peers, by section.
SHOWN = {"epochs": ("10,000 images", duration), CNN.section: ("convolutional step", a_step)}


def _beside_peers(
    found: Found, section: str, what: str, show: Callable[[float], str]
) -> Iterator[str]:
    times = [m for m in select(found, section, EPOCH) if ":" not in m.name]
    ours = [m for m in times if m.name == AUTODIFF and m.median]
    if not ours:
        return
    yield _row(what, [f"batch {m.setting}" for m in ours])
    yield _row(f"{AUTODIFF} takes", [middle(m, show) for m in ours])
    for name in dict.fromkeys(m.name for m in times if not m.name.startswith((AUTODIFF, "manual"))):
        mine = [m for m in times if m.name == name]
        ratios = [against_ours(found, m) for m in mine]
        why = {m.note for m in mine if m.note}
        shown = [f"{ratio} times" if ratio else "-" for ratio in ratios]
        yield _row(f"{name} takes", [*shown, *(f"  {reason}" for reason in why)])
    if section == "epochs" and (shares := [s for m in ours if (s := floor_share(found, m))]):
        yield _row("the products alone", [f"{share:.2f} times" for share in shares])


def _row(label: str, texts: Iterable[str]) -> str:
    return f"{label:<{LABEL}}{''.join(f'{text:>{CELL}}' for text in texts)}"
