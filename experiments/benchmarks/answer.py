"""The benchmark in about ten lines: how fast, against whom."""

from collections.abc import Iterable, Iterator, Sequence

from experiments.benchmarks import epochs, floor, growth, processes
from experiments.benchmarks.measurements import Measurement, median, select
from experiments.benchmarks.networks import Network
from experiments.cli.records import duration

Measurements = Sequence[Measurement]
OURS = "autodiff"
LABEL, CELL = 24, 14  # characters


def lines(network: Network, measurements: Measurements) -> Iterator[str]:
    """What was found, for a terminal."""
    yield from _epochs(network, measurements)
    yield from _processes(measurements)
    for section, quantity in (
        (growth.IMAGES, growth.TIME_AN_IMAGE),
        (growth.NETWORKS, growth.TIME_A_NETWORK),
    ):
        times = select(measurements, section, quantity)
        found = [m for m in times if m.median and m.name.startswith(OURS)]
        if found:
            best = min(found, key=lambda m: m.median or 0.0).name
            each = [
                f"{duration(m.median or 0.0)} of {int(m.setting):,}"
                for m in found
                if m.name == best
            ]
            yield _row(quantity, [f"{', '.join(each)} ({best})"])


def _epochs(network: Network, measurements: Measurements) -> Iterator[str]:
    times = select(measurements, network.section, epochs.EPOCH)
    ours = {m.setting: m.median for m in times if m.name == OURS and m.median}
    if not ours:
        return
    yield _row(f"{network.images:,} images", [f"batch {setting}" for setting in ours])
    yield _row(f"{OURS} takes", map(duration, ours.values()))
    for name in network.peers:
        others = {m.setting: m for m in times if m.name == name}
        cells = [
            f"{m.median / ours[s]:.2f} times" if (m := others.get(s)) and m.median else "-"
            for s in ours
        ]
        why = {m.note for m in others.values() if not m.median}
        yield _row(f"{name} takes", [*cells, *(f"  {reason}" for reason in why)])
    shares = [floor.share(network, measurements, OURS, setting, False) for setting in ours]
    if any(shares):
        yield _row("the products alone", [f"{s:.2f} times" if s else "" for s in shares])


def _processes(measurements: Measurements) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for m in select(measurements, processes.SECTION, processes.TIME):
        memory = median(measurements, *m[:3], processes.MEMORY)
        if m.median and memory and (m.name == OURS or m.name in processes.SCRIPTS):
            which = f"whole, {m.note}" if m.name == OURS else "others"
            text = f"{m.name} {m.setting} {duration(m.median)}, {memory / 1e6:.0f} MB"
            told.setdefault(which, []).append(text)
    for which, texts in told.items():
        yield _row(which, ["; ".join(texts)])


def _row(label: str, cells: Iterable[str]) -> str:
    return f"{label:<{LABEL}}{''.join(f'{cell:>{CELL}}' for cell in cells)}"
