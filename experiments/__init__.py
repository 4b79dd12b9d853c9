"""Experiments: absl-flag scripts over the library. Run them from the checkout."""

import signal
import sys
import time
import traceback
from types import TracebackType

# Every script imports this package first: what `total_seconds` counts from.
STARTED = time.perf_counter()

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until `cli.flags.run`, Ctrl-C ends a script at once: extension modules lose it as they load.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One line for a variable that JAX refuses as it is imported, nothing for Ctrl-C meanwhile."""
    files = [frame.filename for frame in traceback.extract_tb(trace)]
    if kind is ValueError and files[-1].endswith("jax/_src/config.py"):
        print(f"error: {error}", file=sys.stderr)
    elif kind is not KeyboardInterrupt:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _report
