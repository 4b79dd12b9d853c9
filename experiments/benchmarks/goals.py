"""What the project wants to reach on a CPU with two cores, and whether it does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.benchmarks import epochs, floor, growth, processes
from experiments.benchmarks.processes import COLD, WARM
from experiments.benchmarks.rows import Row, find, median

Rows = Sequence[Row]


class Goal(NamedTuple):
    """A figure that is wanted; `value` is None where a run did not measure it.

    `at_least`: whether more is better. `show` writes a figure.
    """

    what: str
    wanted: float
    value: Callable[[Rows], float | None]
    show: Callable[[float], str]
    at_least: bool = True


class Verdict(NamedTuple):
    """A goal as text: wanted, measured, and `reached` or by how much not."""

    what: str
    wanted: str
    measured: str
    verdict: str


_factor, _times = "{:.3g} times as fast".format, "{:.2f} times".format
_megabytes, _seconds = "{:.0f} MB".format, "{:.2f} s".format


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _within(value: float) -> str:
    return f"{_percent(value)} apart"


def speed_against(peers: Sequence[str], batch_size: int) -> Callable[[Rows], float | None]:
    """How many times as fast as the fastest of these peers `autodiff` is."""

    def value(rows: Rows) -> float | None:
        ours = median(rows, epochs.SECTION, "autodiff", batch_size, "epoch")
        times = [median(rows, epochs.SECTION, peer, batch_size, "epoch") for peer in peers]
        measured = [time for time in times if time is not None]
        return min(measured) / ours if ours and measured else None

    return value


def share_of_floor(batch_size: int, one_core: bool) -> Callable[[Rows], float | None]:
    """The share of the floor in an epoch of `autodiff`."""

    def value(rows: Rows) -> float | None:
        epoch = find(rows, epochs.SECTION, "autodiff", batch_size, "epoch")
        return floor.share(rows, epoch, one_core) if epoch else None

    return value


def process_against(peer: str, setting: str) -> Callable[[Rows], float | None]:
    """The time of the default run in times of the peer's, with the fastest number of threads."""

    def value(rows: Rows) -> float | None:
        ours = median(rows, processes.SECTION, "autodiff", setting, "time")
        times = [
            row.median
            for row in rows
            if row.section == processes.SECTION
            and (row.setting, row.quantity) == ("", "time")
            and row.name.startswith(f"{peer}, ")
            and row.median
        ]
        return ours / min(times) if ours and times else None

    return value


def peak_memory(rows: Rows) -> float | None:
    """Of the default run, in megabytes: the most of a cold and of a warm one."""
    found = [
        row.maximum
        for row in rows
        if (row.section, row.name, row.quantity) == (processes.SECTION, "autodiff", "memory")
        and row.maximum
    ]
    return max(found) / 1e6 if found else None


def spread_over_sizes(rows: Rows) -> float | None:
    """How far time an image is from flat between 1,000 and 1,000,000 images, at any batch size."""
    lines: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.section == growth.IMAGES and row.name.startswith("autodiff") and row.median:
            lines.setdefault(row.name, {})[row.setting] = row.median
    whole = [line for line in lines.values() if {"1000", "1000000"} <= line.keys()]
    return max((max(line.values()) / min(line.values()) - 1 for line in whole), default=None)


def all_of_mnist(rows: Rows) -> float | None:
    """An epoch of 60,000 images at batch 128, in seconds."""
    each = median(rows, growth.IMAGES, "autodiff, batch 128", 60_000, "time an image")
    return each * (60_000 // 128 * 128) if each else None


EVERY_PEER = tuple(epochs.PEERS)
EVERY_NUMPY = tuple(name for name in EVERY_PEER if name.startswith("NumPy"))
GOALS = (
    Goal("batch 10, one epoch, against NumPy", 2.5, speed_against(["NumPy"], 10), _factor),
    Goal("the same with its SkylakeX kernels", 2.5, speed_against(EVERY_NUMPY, 10), _factor),
    Goal("batch 10, against PyTorch eager", 12.0, speed_against(["PyTorch eager"], 10), _factor),
    Goal("batch 32, against PyTorch eager", 12.0, speed_against(["PyTorch eager"], 32), _factor),
    Goal("batch 128, against the fastest peer", 1.3, speed_against(EVERY_PEER, 128), _factor),
    Goal("batch 1000, against the fastest peer", 1.3, speed_against(EVERY_PEER, 1000), _factor),
    Goal("batch 10, share of one core's floor", 0.45, share_of_floor(10, True), _percent),
    Goal("batch 1000, share of all cores' floor", 0.5, share_of_floor(1000, False), _percent),
    Goal(
        "default run, cold, in times of NumPy's", 1.2, process_against("NumPy", COLD), _times, False
    ),
    Goal(
        "the same with its SkylakeX kernels, cold",
        1.2,
        process_against("NumPy (SkylakeX)", COLD),
        _times,
        False,
    ),
    Goal(
        "default run, warm, in times of NumPy's", 1.0, process_against("NumPy", WARM), _times, False
    ),
    Goal(
        "the same with its SkylakeX kernels, warm",
        1.0,
        process_against("NumPy (SkylakeX)", WARM),
        _times,
        False,
    ),
    Goal("default run, peak memory", 600.0, peak_memory, _megabytes, False),
    Goal("time an image, 1,000 to 1,000,000 images", 0.25, spread_over_sizes, _within, False),
    Goal("60,000 images at batch 128, one epoch", 0.25, all_of_mnist, _seconds, False),
)


def judge(goal: Goal, rows: Rows) -> Verdict:
    """A goal beside what was measured."""
    wanted = f"at {'least' if goal.at_least else 'most'} {goal.show(goal.wanted)}"
    value = goal.value(rows)
    if value is None:
        return Verdict(goal.what, wanted, "not measured", "")
    ratio = value / goal.wanted if goal.at_least else goal.wanted / value
    verdict = "reached" if ratio >= 1 else f"not reached: {100 * ratio:.0f} % of it"
    return Verdict(goal.what, wanted, goal.show(value), verdict)
