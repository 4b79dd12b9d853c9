"""A job of several processes: its flags, joining it, and checks that all were given the same."""

import faulthandler
import json
import logging
import os
import sys

from absl import flags as absl_flags

from digits_jax.data import Splits
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.runs.identity import data_sha256
from experiments.cli.flags import FLAGS
from experiments.cli.script import GROUPS

OWN = ("coordinator_address", "num_processes", "process_id")


def define() -> None:
    """Defines the flags by which a process joins a job."""
    about = "a job that JAX finds: SLURM, Open MPI, Kubernetes, TPU pod"
    absl_flags.DEFINE_enum("distributed", None, ["auto"], about, module_name="hosts")
    about = "or join the job of process 0 at this HOST:PORT,"
    absl_flags.DEFINE_string("coordinator_address", None, about, module_name="hosts")
    about = "of so many processes,"
    absl_flags.DEFINE_integer("num_processes", None, about, module_name="hosts")
    about = "as the process of this number, from 0"
    absl_flags.DEFINE_integer("process_id", None, about, module_name="hosts")


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
    here = data_sha256(splits)
    if distributed.share(job, f"data {number}", here) != here:
        raise ValueError(f"{job} has read other images or labels than process 0")
    distributed.wait_for_all(job, f"data {number}")


def join() -> Job:
    """Joins the job that the flags ask for, and makes sure that none of its processes is left over.

    A process that fails breaks its connections, or JAX misses it in the end: either ends the others
    with a status other than 0, within `distributed.HEARTBEAT_SECONDS` and `SHUTDOWN_SECONDS`. Where
    it is silent, jaxlib says so at length and aborts.

    Raises:
        ValueError: where the flags contradict each other, or nothing is detected.
        OSError: where the host is unknown, or process 0 finds its port taken.
    """
    if not check_flags():
        return distributed.ALONE
    keep_stdout()
    logging.getLogger("digits_jax").disabled = FLAGS.process_id not in (None, 0)  # says it once
    faulthandler.disable()  # which absl turns on: where Python was as jaxlib aborts helps nobody
    return distributed.join(FLAGS.coordinator_address, FLAGS.num_processes, FLAGS.process_id)


def keep_stdout() -> None:
    """Leaves stdout to Python: Gloo, in C++, prints there how many processes it is connected to."""
    sys.stdout.flush()
    own = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding, closefd=False)
