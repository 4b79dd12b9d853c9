"""The data of a run, and its programs, which compile meanwhile."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from digits_jax import data
from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.runs.programs import Programs, compile_programs


class Loaded(NamedTuple):
    """The data of a run, the seconds that reading them took, and the run's programs."""

    splits: Splits
    seconds: float
    programs: Programs


def load(config: Config, settings: Mapping[str, Any], gradient_norms: bool = False) -> Loaded:
    """Reads data and compiles at once, where the files tell the shapes before they are read.

    Args:
        config: the run.
        settings: the arguments of `data.load`.
        gradient_norms: as `compile_programs` has it.

    Raises:
        ValueError, OSError: as `data.load`.
    """

    def timed_load() -> tuple[Splits, float]:
        started = time.perf_counter()
        return data.load(**settings), time.perf_counter() - started

    # Reading MNIST takes 0.15 s, mostly without Python's lock.
    with ThreadPoolExecutor(1) as background:
        loading = background.submit(timed_load)
        outline = data.outline(**settings)
        programs = compile_programs(config, outline, gradient_norms) if outline else None
        splits, seconds = loading.result()
    return Loaded(splits, seconds, programs or compile_programs(config, splits, gradient_norms))
