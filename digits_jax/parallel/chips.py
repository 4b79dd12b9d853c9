"""What accelerators have, from public tables: what their compilers ask for, and what they lack.

TPUs: cloud.google.com/tpu/docs/system-architecture-tpu-vm (memory, rates), and clocks that follow
from the printed peak of bfloat16 products, 2 x matrix units x side^2 x clock; for v6e
that gives no known clock. GPUs: NVIDIA's data sheets and the compute capabilities of the CUDA C++
programming guide, in the form in which XLA keeps them (xla/backends/gpu/target_config/specs).
"""

from typing import NamedTuple

GB = 10**9


class Tpu(NamedTuple):
    """One device of a TPU: memory in bytes, bytes a second, cycles a second, smallest topology."""

    memory: int
    bandwidth: float
    clock: float | None
    smallest: str


# A device of v4 is one of the two cores of a chip, of v5p both.
TPUS = {
    "v4": Tpu(17_200_000_000, 6.0e11, 1.05e9, "2x2x1"),
    "v5e": Tpu(17_200_000_000, 8.1e11, 1.5e9, "2x2"),
    "v5p": Tpu(103_000_000_000, 2.77e12, 1.75e9, "2x2x1"),
    "v6e": Tpu(34_400_000_000, 1.64e12, None, "2x2"),
}


class Gpu(NamedTuple):
    """A GPU: its name, compute capability, sizes in bytes, rates a second.

    `threads` and the first `shared` are those of a multiprocessor, the second `shared` those that a
    block may ask for; `lanes` are float32 units of a multiprocessor.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    lanes: int
    threads: int
    shared: tuple[int, int]
    cache: int
    memory: int
    bandwidth: int
    clock: float


GPUS = {
    "h100": Gpu(
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        132,
        128,
        2048,
        (233_472, 232_448),
        52_428_800,
        84_929_347_584,
        3_352_320_000_000,
        1.98e9,
    ),
    "a100": Gpu(
        "NVIDIA A100-SXM4-80GB",
        (8, 0),
        108,
        64,
        2048,
        (167_936, 166_912),
        41_943_040,
        85_100_068_864,
        2_039_040_000_000,
        1.41e9,
    ),
    "t4": Gpu(
        "Tesla T4",
        (7, 5),
        40,
        64,
        1024,
        (65_536, 65_536),
        4_194_304,
        15_828_320_256,
        320_064_000_000,
        1.59e9,
    ),
}


def described(gpu: Gpu) -> str:
    """A GPU as XLA's compiler reads it: a text of `stream_executor.GpuTargetConfigProto`."""
    major, minor = gpu.capability
    return f"""
        gpu_device_info {{
            threads_per_block_limit: 1024 threads_per_warp: 32
            threads_per_core_limit: {gpu.threads}
            shared_memory_per_block: 49152 shared_memory_per_core: {gpu.shared[0]}
            shared_memory_per_block_optin: {gpu.shared[1]}
            core_count: {gpu.multiprocessors} fpus_per_core: {gpu.lanes}
            block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
            memory_bandwidth: {gpu.bandwidth} l2_cache_size: {gpu.cache}
            clock_rate_ghz: {gpu.clock / 1e9} device_memory_size: {gpu.memory}
            cuda_compute_capability {{ major: {major} minor: {minor} }}
            registers_per_core_limit: 65536 registers_per_block_limit: 65536
        }}
        platform_name: "CUDA" device_description_str: "{gpu.name}"
        dnn_version_info {{ major: 9 minor: 7 }} runtime_version {{ major: 12 minor: 8 }}
    """
