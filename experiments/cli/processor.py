"""What the system tells of the processor."""

import platform
from pathlib import Path


def name() -> str:
    """As in AMD EPYC, as far as the system tells it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """The extensions of its instruction set, as in avx512f; none where the system tells none."""
    return (_cpuinfo("flags") or _cpuinfo("features")).split()


def _cpuinfo(field: str) -> str:
    """The first value of a field of /proc/cpuinfo; empty elsewhere than on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2] for line in lines if line.lower().startswith(field))
    return next(values, "").strip()
