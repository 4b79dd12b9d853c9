"""SIGINT and SIGTERM: the first asks a run to stop, the second ends it at once."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], int]]:
    """Gives a function that says which of `SIGNALS` has come, 0: none; a second ends at once.

    Python runs a signal handler only between two bytecodes of the main thread, and a whole epoch,
    or a compilation, is less than one. So a thread reads the signals from a socket, which the
    interpreter writes as they come.
    """
    number = 0
    reader, writer = socket.socketpair()  # Windows wakes no pipe
    writer.setblocking(False)

    def watch() -> None:
        nonlocal number
        while received := reader.recv(1):
            if received[0] not in SIGNALS:  # one that somebody else handles, as SLURM's SIGUSR1
                continue
            if number:
                os._exit(128 + received[0])
            number = received[0]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    earlier_fd = signal.set_wakeup_fd(writer.fileno())
    earlier = [signal.signal(each, lambda *_: None) for each in SIGNALS]
    try:
        yield lambda: number
    finally:
        for each, handler in zip(SIGNALS, earlier, strict=True):
            signal.signal(each, handler)
        signal.set_wakeup_fd(earlier_fd)
        writer.close()
        thread.join()
        reader.close()
