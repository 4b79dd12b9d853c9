"""SIGINT and SIGTERM: the first asks a run to stop, the second ends it at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM has come; a second one ends at once.

    Python runs a signal handler only between two bytecodes of the main thread, and a whole epoch,
    or a compilation, is less than one. So a thread reads the signals from a pipe, which the
    interpreter writes as they come.
    """
    requested = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while received := os.read(reader, 1):
            if requested.is_set():
                os._exit(128 + received[0])
            requested.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    earlier_fd = signal.set_wakeup_fd(writer)
    earlier = [signal.signal(number, lambda number, frame: None) for number in SIGNALS]
    try:
        yield requested.is_set
    finally:
        for number, handler in zip(SIGNALS, earlier, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(earlier_fd)
        os.close(writer)
        thread.join()
        os.close(reader)
