"""Section 2: the floor, the time of the training's matrix products alone at the machine's rate."""

import itertools
from collections.abc import Sequence

from experiments.benchmarks import epochs
from experiments.benchmarks.rows import Row
from experiments.peers.classic import CLASSES, HIDDEN, PIXELS, TRAIN_SIZE

SIZES = (PIXELS, HIDDEN, CLASSES)


def operations(sizes: Sequence[int] = SIZES, images: int = TRAIN_SIZE) -> int:
    """Additions and multiplications of the matrix products of an epoch.

    Forward, and the gradient of the weights: one each for every layer; delta propagated back: one
    for every layer but the first.
    """
    weights = [inputs * outputs for inputs, outputs in itertools.pairwise(sizes)]
    return 2 * images * (2 * sum(weights) + sum(weights[1:]))


def fastest(rows: Sequence[Row], setting: str, one_core: bool) -> Row | None:
    """The highest rate of any library on one core, or on all that JAX has (any device)."""
    rates = [
        row
        for row in rows
        if row.section == epochs.FLOOR_SECTION
        and row.setting == setting
        and row.median
        and (not one_core or row.note == epochs.ONE_CORE)
    ]
    return max(rates, key=lambda row: row.median or 0.0, default=None)


def share(rows: Sequence[Row], epoch: Row, one_core: bool) -> float | None:
    """The floor's part of the time of an epoch: 1 where there is nothing but matrix products."""
    rate = fastest(rows, epoch.setting, one_core)
    if rate is None or not rate.median or not epoch.median:
        return None
    return operations() / rate.median / epoch.median
