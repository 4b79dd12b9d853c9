"""The benchmark in Markdown, with all its tables."""

from collections.abc import Callable, Mapping, Sequence

from experiments.benchmarks import epochs, floor, growth, processes
from experiments.benchmarks.measurements import Measurement, median, select
from experiments.benchmarks.networks import Network
from experiments.cli.records import duration, table

Measurements = Sequence[Measurement]


def markdown(network: Network, measurements: Measurements, header: str, picture: str) -> str:
    """The title, the header, the picture, then every section that has measurements."""
    sections = [
        "# Benchmark",
        header,
        f"![Times of an epoch, of whole processes, of growth]({picture})",
        epochs_section(network, measurements),
        floor_section(network, measurements),
        processes_section(measurements),
        growth_section(measurements),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def pivot(cells: Mapping[tuple[str, str], str], corner: str = "") -> str:
    """A table from cells by row and column, both in the order of their first appearance."""
    rows, columns = (dict.fromkeys(key[axis] for key in cells) for axis in (0, 1))
    lines = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return table([corner, *columns], lines)


def spread(m: Measurement, show: Callable[[float], str] = duration) -> str:
    """The median with its range; where there is none, why."""
    if m.median is None or m.minimum is None or m.maximum is None:
        return m.note
    middle = show(m.median)
    return middle if m.n == 1 else f"{middle} ({show(m.minimum)} to {show(m.maximum)})"


def percent(part: float) -> str:
    """As in 93.77."""
    return f"{100 * part:.2f}"


def by_batch(
    measurements: Measurements, show: Callable[[Measurement], str]
) -> dict[tuple[str, str], str]:
    """Cells by name and batch size."""
    return {(m.name, f"batch {m.setting}"): show(m) for m in measurements}


def epochs_section(network: Network, measurements: Measurements) -> str:
    """Section 1."""
    times, accuracies, cores = (
        select(measurements, network.section, quantity)
        for quantity in (epochs.EPOCH, epochs.ACCURACY, epochs.CORES)
    )
    if not times:
        return ""

    def against_ours(m: Measurement) -> str:
        ours = median(measurements, network.section, "autodiff", m.setting, epochs.EPOCH)
        return f"{m.median / ours:.2f}" if m.median and ours else ""

    seeds, told = max(((m.n, m.note) for m in accuracies), default=(0, ""))
    parts = [
        "## 1. One epoch",
        f"{network.description}; each shuffles them anew every epoch and gathers its batches. "
        f"Median (range) of turns in which all are timed one after the other, "
        f"n={max(m.n for m in times)}. scikit-learn has no quadratic cost: it trains softmax "
        "cross-entropy at a learning rate of 0.3, as `autodiff, cross-entropy` does.",
        pivot(by_batch(times, spread)),
        "The same in times of `autodiff`:",
        pivot(by_batch(times, against_ours)),
        f"Test accuracy in %, all after {told} epochs, median (range) over seeds, n={seeds}; at a "
        "learning rate of 3.0 a batch of 1 makes for noise:",
        pivot(by_batch(accuracies, lambda m: spread(m, percent))),
        "Cores that are busy meanwhile (processor time over time):",
        pivot(by_batch(cores, lambda m: spread(m._replace(n=1), "{:.1f}".format))),
    ]
    tried = select(measurements, network.section, epochs.TRIED)
    if tried:
        cells = {(f"{m.name}: {m.note}", f"batch {m.setting}"): spread(m) for m in tried}
        parts += ["All forms of the peers, of which the fastest stands above:", pivot(cells)]
    return "\n\n".join(parts)


def floor_section(network: Network, measurements: Measurements) -> str:
    """Section 2."""
    rates = select(measurements, network.section, epochs.RATE)
    if not rates:
        return ""
    shares = {}
    for name in network.ours:
        for setting in dict.fromkeys(m.setting for m in rates):
            for one_core, where in ((True, "one core"), (False, "all cores")):
                share = floor.share(network, measurements, name, setting, one_core)
                if share:
                    shares[f"{name}, of {where}", f"batch {setting}"] = f"{100 * share:.0f} %"
    return "\n\n".join(
        [
            "## 2. The floor",
            f"An epoch's matrix products are {network.images * network.operations / 1e9:.3f} "
            "GFLOP: forward, gradients of the weights, delta through the second layer. The rate of "
            "a large float32 product, in GFLOP/s, measured in the same turns:",
            pivot(by_batch(rates, lambda m: f"{(m.median or 0.0) / 1e9:.0f}")),
            "The floor is their time at the highest rate of any library, on one core and on all "
            "(or on JAX's own device). Its share of the epoch:",
            pivot(shares),
        ]
    )


def processes_section(measurements: Measurements) -> str:
    """Section 3."""
    times = select(measurements, processes.SECTION, processes.TIME)
    if not times:
        return ""
    shows: dict[str, Callable[[Measurement], str]] = {
        processes.TIME: spread,
        processes.MEMORY: lambda m: f"{(m.median or 0.0) / 1e6:.0f} MB",
        processes.ACCURACY: lambda m: percent(m.median or 0.0),
    } | dict.fromkeys(processes.PHASES, lambda m: f"{m.median or 0.0:.2f}")
    told = next((m.note for m in times if m.median), "")
    cells = {
        (f"{m.name}, {m.setting}", m.quantity): shows[m.quantity](m)
        for m in measurements
        if m.section == processes.SECTION
    }
    return "\n\n".join(
        [
            "## 3. The whole process",
            f"From the shell to the printed test accuracy (in %), {told}; cold: with an "
            "empty compilation cache; warm: with that of an earlier run. `autodiff` and "
            "`manual` are `experiments.train`, which also scores 10,000 validation images after "
            "every epoch and writes metrics and model; the others train, and score the test images "
            f"once. Median (range), n={max(m.n for m in times)}. Then where the time of ours goes, "
            "in seconds by its own clock, from the start of the script on; what is done at the "
            "same time counts in both places, so that the sum may be more than the total.",
            pivot(cells),
        ]
    )


def growth_section(measurements: Measurements) -> str:
    """Section 4."""
    parts = []
    for section, quantity, text in (
        (growth.IMAGES, growth.TIME_AN_IMAGE, "the size of the training set (MNIST, repeated)"),
        (growth.NETWORKS, growth.TIME_A_NETWORK, "the number of networks of a sweep"),
    ):
        found = select(measurements, section, quantity)
        if found:
            cells = {
                (m.name, f"{int(m.setting):,}"): duration(m.median) if m.median else m.note
                for m in found
            }
            parts += [f"{quantity.capitalize()} against {text}:", pivot(cells, section)]
    return "\n\n".join(["## 4. Growth", *parts]) if parts else ""
