"""The floor: the time of the training's matrix products alone, at the machine's rate."""

from collections.abc import Iterable

from experiments.benchmarks.epochs import EPOCH, ONE_CORE, RATE
from experiments.benchmarks.measurements import Measurement, median, select
from experiments.benchmarks.networks import Network


def seconds(
    network: Network, measurements: Iterable[Measurement], setting: str, one_core: bool
) -> float | None:
    """An epoch's, at the highest rate of any library on one core, or on all (or any device)."""
    rates = [
        m.median
        for m in select(measurements, network.section, RATE)
        if m.median and m.setting == setting and (m.note == ONE_CORE or not one_core)
    ]
    return network.images * network.operations / max(rates) if rates else None


def share(
    network: Network, measurements: Iterable[Measurement], name: str, setting: str, one_core: bool
) -> float | None:
    """Its part of the time of an epoch: 1 where there is nothing but matrix products."""
    epoch = median(measurements, network.section, name, setting, EPOCH)
    floor = seconds(network, measurements, setting, one_core)
    return floor / epoch if floor and epoch else None
