"""How far a script is: a bar on a terminal, else now and then a line."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

SECONDS = 30.0  # between two lines


@contextlib.contextmanager
def shown(unit: str, total: int, done: int, quiet: bool) -> Iterator[Callable[..., None]]:
    """Gives a function of how many more are done, and of what is told beside; on stderr."""
    said = time.monotonic()
    with tqdm(total=total, initial=done, unit=unit, disable=True if quiet else None) as bar:

        def advance(count: int, told: str = "") -> None:
            nonlocal done, said
            done += count
            bar.set_postfix_str(told, refresh=False)
            bar.update(count)
            if bar.disable and not quiet and time.monotonic() - said >= SECONDS:
                said = time.monotonic()
                words = f"{unit} {done:,} of {total:,}{told and ', '}{told}"
                print(words, file=sys.stderr, flush=True)

        yield advance
