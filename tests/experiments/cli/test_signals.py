"""Signals that ask a run to stop, and those that do not."""

import os
import signal
import time

from experiments.cli import signals


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_signal_that_somebody_else_handles_stops_no_run():
    handled = []
    earlier = signal.signal(signal.SIGUSR1, lambda *_: handled.append("SIGUSR1"))
    try:
        with signals.stop_requested() as asked:
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_for(lambda: handled)
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_for(lambda: len(handled) == 2)
            assert asked() == 0
            os.kill(os.getpid(), signal.SIGTERM)  # read after both
            wait_for(asked)
            assert asked() == signal.SIGTERM
    finally:
        signal.signal(signal.SIGUSR1, earlier)
