"""How far a script is: a bar on a terminal, else now and then a line."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

SECONDS = 30.0  # between two lines


@contextlib.contextmanager
def now_and_then(line: Callable[[], str], quiet: bool = False) -> Iterator[None]:
    """Meanwhile writes a line to stderr every half minute, whatever the script is busy with."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(SECONDS):
            print(line(), file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, daemon=True)
    if not quiet:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if not quiet:
            thread.join()


def since(what: str) -> Callable[[], str]:
    """Gives lines of how long something has been going on."""
    began = time.monotonic()
    return lambda: f"{what}: {time.monotonic() - began:.0f} s"


@contextlib.contextmanager
def shown(unit: str, total: int, done: int, quiet: bool) -> Iterator[Callable[..., None]]:
    """Gives a function of how many more are done, and of what is told beside; on stderr."""
    last, began, before = "", time.monotonic(), done

    def line() -> str:
        text = f"{unit} {done:,} of {total:,}{last and ', '}{last}"
        seconds = time.monotonic() - began
        if done == before:
            return f"{text}, {seconds:.0f} s"
        left = (total - done) * seconds / (done - before)
        return f"{text}, {(done - before) / seconds:.3g} a second, {left:.0f} s left"

    with (
        tqdm(total=total, initial=done, unit=unit, disable=True if quiet else None) as bar,
        now_and_then(line, quiet or not bar.disable),
    ):

        def advance(count: int, told: str = "") -> None:
            nonlocal done, last
            done, last = done + count, told
            bar.set_postfix_str(told, refresh=bool(told))
            bar.update(count)

        yield advance
