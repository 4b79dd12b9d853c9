"""A job of several processes: its flags, and the way in which all of them end when one does."""

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import NoReturn

import jax
import numpy as np
from absl import flags as absl_flags

from digits_jax.data import Splits
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.runs.tensor_file import sha256
from experiments.cli import last_words, quiet
from experiments.cli.flags import FLAGS, GROUPS, user_errors

OWN = ("coordinator_address", "num_processes", "process_id")
# How an error names a connection that broke: of CPUs, of GPUs, of the coordinator.
LOST = ("Gloo", "NCCL", "UNAVAILABLE")
# How long process 0 waits for the others to say that they know why the job ends.
FAREWELL_SECONDS = 2.0


def define() -> None:
    """Defines the flags by which a process joins a job."""
    help = "a job that JAX finds: SLURM, Open MPI, Kubernetes, TPU pod"
    absl_flags.DEFINE_enum("distributed", None, ["auto"], help, module_name="hosts")
    help = "or join the job of process 0 at this HOST:PORT,"
    absl_flags.DEFINE_string("coordinator_address", None, help, module_name="hosts")
    help = "of so many processes,"
    absl_flags.DEFINE_integer("num_processes", None, help, module_name="hosts")
    help = "as the process of this number, from 0"
    absl_flags.DEFINE_integer("process_id", None, help, module_name="hosts")


def check_flags() -> bool:
    """Whether the flags ask for a job.

    Raises:
        ValueError: in one line, where they contradict each other.
    """
    given = [name for name in OWN if FLAGS[name].value is not None]
    if FLAGS.distributed and given:
        raise ValueError(f"--distributed=auto and --{given[0]}: choose one")
    if not given:
        return bool(FLAGS.distributed)
    if len(given) < len(OWN):
        missing = next(name for name in OWN if name not in given)
        raise ValueError(
            f"--{given[0]} without --{missing}: a job needs all of --{', --'.join(OWN)}"
        )
    host, _, port = FLAGS.coordinator_address.rpartition(":")
    if not (host and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(
            f"coordinator_address={FLAGS.coordinator_address}: expected HOST:PORT, as in "
            "10.0.0.1:12345"
        )
    if FLAGS.num_processes < 1:
        raise ValueError(f"num_processes={FLAGS.num_processes}: expected at least 1")
    if not 0 <= FLAGS.process_id < FLAGS.num_processes:
        raise ValueError(
            f"process_id={FLAGS.process_id}: with num_processes={FLAGS.num_processes} they are "
            f"numbered from 0 to {FLAGS.num_processes - 1}"
        )
    return True


def check_same_flags(job: Job) -> None:
    """Checks that this process was given the flags of process 0, other than where its files lie.

    Raises:
        ValueError: in one line, naming a flag that differs.
    """
    # Not where a host keeps its data; not what process 0 alone reads.
    own = {*OWN, "workdir", "data_dir", "overwrite", "output", "flagfile"}
    groups = FLAGS.flags_by_module_dict()
    names = sorted({flag.name for group in GROUPS for flag in groups.get(group, [])} - own)
    here = {name: str(FLAGS[name].value) for name in names}
    there = json.loads(distributed.share(job, "flags", json.dumps(here)))
    for name in names:
        if here[name] != there.get(name):
            raise ValueError(
                f"{name}={here[name]} in {job}, and {there.get(name)} in process 0: "
                "all processes of a job are given the same flags"
            )


def check_same_data(job: Job, splits: Splits, number: int = 0) -> None:
    """Checks that every process has read the data of process 0, before anything is written.

    Args:
        job: the job.
        splits: what this process has read.
        number: of this check, where there are several.

    Raises:
        ValueError: in one line, where they differ.
    """
    if job.processes == 1:
        return
    arrays = {f"{i}": np.asarray(array) for i, array in enumerate(jax.tree.leaves(splits[:3]))}
    if distributed.share(job, f"data {number}", sha256(arrays)) != sha256(arrays):
        raise ValueError(f"{job} has read other images or labels than process 0")
    distributed.wait_for_all(job, f"data {number}")


@contextlib.contextmanager
def joined() -> Iterator[Job]:
    """Joins the job that the flags ask for. What ends one process ends all, each with one line.

    A thread waits for the others' end, as a process may be reading, compiling or within a step. A
    process that is killed says nothing: it shows as an error of the next step, or as silence, at
    which JAX ends all processes (`distributed.HEARTBEAT_SECONDS`), and `last_words` say why.
    """
    with user_errors(ValueError):
        asked = check_flags()
    if not asked:
        yield distributed.ALONE
        return
    quiet.keep_stdout()
    last_words.listen()
    with user_errors(ValueError, OSError, RuntimeError):
        job = distributed.join(FLAGS.coordinator_address, FLAGS.num_processes, FLAGS.process_id)

    ending = threading.Lock()
    watcher = threading.Thread(target=_watch, args=(job, ending), daemon=True)
    watcher.start()
    try:
        yield job
    except BaseException as error:
        if any(sign in str(error) for sign in LOST):
            # Of a process that has said why it ends, or of one that was killed.
            lost = f"{job} lost another, which was killed or cannot be reached"
            cause = _cause(1) or f"{lost}: {_first_line(error)}"
            _end(job, ending, f"error: {cause}", cause)
        if not isinstance(error, SystemExit):
            _end(job, ending, traceback.format_exc().rstrip(), repr(error))
        if error.code not in (None, 0):
            own = error.code if isinstance(error.code, str) else f"error: status {error.code}"
            _end(job, ending, own, own.removeprefix("error: "))
    if job.is_primary:
        distributed.announce_end("")
    watcher.join()
    distributed.leave()


def _watch(job: Job, ending: threading.Lock) -> None:
    cause = None
    while cause is None:
        cause = _cause(60)
    if cause:
        _end(job, ending, f"error: {cause}", cause)


def _cause(seconds: float) -> str | None:
    """Why the job has ended; `None` where it goes on."""
    try:
        return distributed.wait_for_end(seconds)
    except RuntimeError:  # process 0 is gone: JAX is about to end this process
        time.sleep(distributed.HEARTBEAT_SECONDS)
        return None


def _end(job: Job, ending: threading.Lock, line: str, cause: str) -> NoReturn:
    """Ends this process, with its line on stderr, and by its cause all others."""
    if not ending.acquire(blocking=False):
        time.sleep(60)  # another thread is about to end this process
    last_words.hush()
    print(line, file=sys.stderr, flush=True)
    sys.stdout.flush()
    distributed.announce_end(cause if cause.startswith("process ") else f"{job}: {cause}")
    distributed.acknowledge_end(job, FAREWELL_SECONDS)
    # No clean-up: it would wait for processes that are gone.
    os._exit(1)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    return lines[0]
