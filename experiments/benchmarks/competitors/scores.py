"""How well a training does that is about to be timed."""

from collections.abc import Callable, Sequence


def score(
    start: Callable[[int], None],
    epoch: Callable[[], None],
    accuracy: Callable[[], float],
    seeds: Sequence[int],
    epochs: int,
) -> list[float]:
    """The test accuracy after so many epochs from each seed."""
    found = []
    for seed in seeds:
        start(seed)
        for _ in range(epochs):
            epoch()
        found.append(accuracy())
    return found
