"""Experiments: absl-flag scripts over the library. Run them from the checkout."""

import sys
import time
import traceback
from types import TracebackType

# Every script imports this package first: what `total_seconds` counts from.
STARTED = time.perf_counter()


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """One line for a variable that JAX refuses as it is imported, nothing for Ctrl-C meanwhile."""
    files = [frame.filename for frame in traceback.extract_tb(trace)]
    if kind is ValueError and files[-1].endswith("jax/_src/config.py"):
        print(f"error: {error}", file=sys.stderr)
    elif kind is not KeyboardInterrupt:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _report
