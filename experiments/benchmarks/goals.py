"""What the project wants to reach on a CPU with two cores, and whether it does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.benchmarks import epochs, floor
from experiments.benchmarks.rows import Row, find, median

Rows = Sequence[Row]


class Goal(NamedTuple):
    """A figure that is wanted; `value` is None where a run did not measure it.

    `at_least`: whether more is better. `show` writes a figure.
    """

    what: str
    wanted: float
    at_least: bool
    value: Callable[[Rows], float | None]
    show: Callable[[float], str]


class Verdict(NamedTuple):
    """A goal as text: wanted, measured, and `reached` or by how much not."""

    what: str
    wanted: str
    measured: str
    verdict: str


def _factor(value: float) -> str:
    return f"{value:.2f} times"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


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


EVERY_PEER = tuple(epochs.PEERS)
GOALS = (
    Goal(
        "batch 10, one epoch, against NumPy as installed",
        2.5,
        True,
        speed_against(["NumPy"], 10),
        _factor,
    ),
    Goal(
        "batch 10, against PyTorch eager", 12, True, speed_against(["PyTorch eager"], 10), _factor
    ),
    Goal(
        "batch 32, against PyTorch eager", 12, True, speed_against(["PyTorch eager"], 32), _factor
    ),
    Goal("batch 128, against the fastest peer", 1.3, True, speed_against(EVERY_PEER, 128), _factor),
    Goal(
        "batch 1000, against the fastest peer", 1.3, True, speed_against(EVERY_PEER, 1000), _factor
    ),
    Goal("batch 10, share of one core's floor", 0.45, True, share_of_floor(10, True), _percent),
    Goal("batch 1000, share of all cores' floor", 0.5, True, share_of_floor(1000, False), _percent),
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
