"""Experiments: absl-flag scripts over the library. Run them from the checkout."""

import time

# Every script imports this package first: what `total_seconds` counts from.
STARTED = time.perf_counter()
