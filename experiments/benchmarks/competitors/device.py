"""The device that JAX computes on."""

from typing import Any

import jax

from experiments.benchmarks.workers import Functions


def prepare() -> Functions:
    """The function `device`."""
    return {"device": device}


def device() -> dict[str, Any]:
    """The platform, as in cpu, and what JAX calls the device."""
    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind}
