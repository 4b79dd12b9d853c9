"""Joining a job of several processes.

A job is JAX's own (`jax.distributed`): the same program in every process, process 0 being the
coordinator, whose key-value store carries the few texts that are shared before there are devices.
"""

import socket
from typing import Any, NamedTuple

import jax

# A process that is silent for so long is taken for dead, and the others end.
HEARTBEAT_SECONDS, SHUTDOWN_SECONDS = 10, 5
# How long the first process waits for the last to start, as queues and containers differ.
JOIN_SECONDS = 300
# Milliseconds, for what takes as long as it takes: where a process fails, JAX ends the others.
FOREVER = 24 * 3600 * 1000


class Job(NamedTuple):
    """The place of this process among those of its job."""

    process: int = 0
    processes: int = 1

    @property
    def is_primary(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.process == 0

    def __str__(self) -> str:
        return f"process {self.process} of {self.processes}"


ALONE = Job()


def join(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: int = JOIN_SECONDS,
) -> Job:
    """Joins a job, before JAX first looks for devices.

    Args:
        coordinator_address: host and port of process 0; like the other two, `None` for what JAX
            detects (SLURM, Open MPI, Kubernetes, TPU pods).
        num_processes: processes in the job.
        process_id: the number of this one, from 0.
        timeout: seconds to wait for the others.

    Raises:
        ValueError: where nothing is detected.
        OSError: where the host is unknown, or process 0 finds its port taken.
        RuntimeError: where the others cannot be reached, or not within `timeout`.
    """
    # Its handler would take SIGTERM away from the caller's own.
    jax.config.update("jax_enable_preemption_service", False)  # type: ignore[no-untyped-call]
    if coordinator_address:
        _check_address(coordinator_address, bind=process_id == 0)
    try:
        jax.distributed.initialize(
            coordinator_address,
            num_processes,
            process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except ValueError as error:
        raise ValueError(f"JAX detects no job of several processes here: {error}") from None
    state = _state()
    return Job(state.process_id, state.num_processes)


def share(job: Job, name: str, text: str) -> str:
    """The text that process 0 gives by this name, which is to be used once. Needs no devices."""
    if job.processes == 1:
        return text
    key = f"digits_jax/share/{name}"
    if job.is_primary:
        _state().client.key_value_set(key, text)
        return text
    shared: str = _state().client.blocking_key_value_get(key, FOREVER)
    return shared


def wait_for_all(job: Job, name: str) -> None:
    """Returns when every process of the job has called this by this name, once. Without devices."""
    if job.processes > 1:
        _state().client.wait_at_barrier(f"digits_jax/{name}", FOREVER)


def _check_address(coordinator_address: str, bind: bool) -> None:
    """At a port that is taken jaxlib 0.10.2 crashes; for a host unknown it waits in vain."""
    host, _, port = coordinator_address.rpartition(":")
    try:
        if bind:
            socket.create_server(("", int(port))).close()
        else:
            socket.getaddrinfo(host.strip("[]"), int(port))
    except OSError as error:
        raise OSError(f"{coordinator_address}: {error.strerror}") from None


def _state() -> Any:
    # No public name of JAX gives the store of the coordinator, or the number of a process without
    # looking for devices; Orbax and Flax take the same way.
    try:
        from jax._src.distributed import global_state
    except ImportError:
        raise RuntimeError(
            f"jax {jax.__version__} has no jax._src.distributed.global_state, by which processes "
            "share a job: use jax 0.10.2"
        ) from None
    return global_state
