"""Experiments: absl-flag scripts over the library. Run them from the checkout."""

import atexit
import gc
import time

# Every script imports this package first: what `total_seconds` counts from.
STARTED = time.perf_counter()

# The cyclic garbage collector would go through all that is imported again and again, and at exit
# object by object: 0.1 s of 0.5 s of imports, and 0.15 s at the end.
gc.set_threshold(100_000)
atexit.register(gc.freeze)
