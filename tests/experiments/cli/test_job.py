"""Jobs of several processes: real ones, on loopback, by Gloo; some of them are killed."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digits_jax import runs
from experiments.cli import last_words

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def flags(tmp_path_factory, write_idx_folder, tiny_split):
    """A run of some steps an epoch on images of one's own."""
    data = tmp_path_factory.mktemp("data")
    write_idx_folder(data, tiny_split(60), tiny_split(13, seed=1))
    return (
        f"--data_dir={data}",
        "--train_size=40",
        "--validation_size=7",
        "--batch_size=8",
        "--optimizer=momentum",
        "--learning_rate=0.1",
        "--epochs=20",
    )


@pytest.fixture
def start(start_module):
    """Starts the processes of a job; what still runs at the end is killed."""

    def start(count, *flags, module="experiments.train", own=()):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        job = []
        for process in range(count):
            place = (
                f"--coordinator_address=127.0.0.1:{port}",
                f"--num_processes={count}",
                f"--process_id={process}",
            )
            extra = own[process] if own else ()
            job.append(start_module(module, *place, *flags, *extra))
        return job

    return start


def finish(job):
    """What process 0 prints; it alone does, and all end well."""
    ended = [process.communicate(timeout=120) for process in job]
    assert [process.returncode for process in job] == [0] * len(job), ended
    assert [err for _, err in ended] == [""] * len(job)
    assert [out for out, _ in ended[1:]] == [""] * (len(job) - 1)
    return ended[0][0]


def fail(job, seconds=60):
    """The one line of each process, all of which end in that time as a mistake ends them."""
    deadline = time.monotonic() + seconds
    ended = [process.communicate(timeout=deadline - time.monotonic()) for process in job]
    assert all(process.returncode != 0 for process in job)
    for out, err in ended:
        assert out == ""
        assert len(err.splitlines()) == 1, err
        assert err.startswith("error: ")
    return [err for _, err in ended]


def wait_for_lines(run, count, job):
    deadline = time.monotonic() + 60
    while not (run / runs.METRICS_FILE).exists() or rows(run) < count:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in job), [p.communicate() for p in job]
        time.sleep(0.002)


def rows(run):
    return (run / runs.METRICS_FILE).read_text().count("\n") - 1


def losses(run):
    with open(run / runs.METRICS_FILE, newline="") as file:
        table = csv.DictReader(file)
        return [(float(row["train_loss"]), float(row["validation_loss"])) for row in table]


def model(run):
    return (run / runs.MODEL_FILE).read_bytes()


def kill_and_resume(start, flags, run, processes, killed):
    """Kills one process in the middle, and lets the job go on; what the others said at its end."""
    saving = ("--cpu_devices=1", "--checkpoint_seconds=1e-6", f"--workdir={run}")
    job = start(processes, *flags, *saving)
    wait_for_lines(run, 3, job)
    job[killed].kill()
    others = [process for process in job if process is not job[killed]]
    said = fail(others, seconds=15)
    assert not (run / runs.SUMMARY_FILE).exists()
    finish(start(processes, "--resume", f"--workdir={run}", "--checkpoint_seconds=0"))
    return said


@pytest.mark.slow
def test_a_killed_job_resumed_is_the_run_of_one_process_with_as_many_devices(
    start, run_module, flags, tmp_path
):
    (said,) = kill_and_resume(start, flags, tmp_path / "job", processes=2, killed=1)
    assert "process 0 of 2 lost another, which was killed or cannot be reached: " in said
    one = run_module("experiments.train", *flags, "--shards=2", f"--workdir={tmp_path / 'one'}")
    assert one.returncode == 0, one.stderr
    assert model(tmp_path / "job") == model(tmp_path / "one")
    assert losses(tmp_path / "job") == losses(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "killed"), [(2, 0), (4, 2)])
def test_whichever_process_is_killed_the_others_end_and_the_job_goes_on(
    start, run_module, flags, tmp_path, processes, killed
):
    said = kill_and_resume(start, flags, tmp_path / "job", processes, killed)
    assert all(
        " lost " in line and "which was killed or cannot be reached: " in line for line in said
    )
    unbroken = tmp_path / "unbroken"
    finish(start(processes, *flags, "--cpu_devices=1", f"--workdir={unbroken}"))
    assert model(tmp_path / "job") == model(unbroken)
    one = run_module(
        "experiments.train", *flags, f"--shards={processes}", f"--workdir={tmp_path / 'one'}"
    )
    assert one.returncode == 0, one.stderr
    # More than two numbers Gloo adds in another order.
    np.testing.assert_allclose(losses(unbroken), losses(tmp_path / "one"), rtol=1e-6)


@pytest.mark.slow
def test_processes_of_several_devices_are_processes_of_one(start, flags, tmp_path):
    finish(start(2, *flags, "--cpu_devices=2", f"--workdir={tmp_path / 'two'}"))
    finish(start(4, *flags, "--cpu_devices=1", f"--workdir={tmp_path / 'four'}"))
    assert model(tmp_path / "two") == model(tmp_path / "four")


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(start, flags, tmp_path):
    job = start(2, *flags, "--cpu_devices=1", "--epochs=4000", f"--workdir={tmp_path / 'run'}")
    wait_for_lines(tmp_path / "run", 2, job)
    job[1].send_signal(signal.SIGSTOP)
    (line,) = fail(job[:1], seconds=15)
    assert "error: lost another process, which was killed or cannot be reached: " in line


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_a_stop_asked_of_one_process_stops_all_after_the_same_epoch(start, flags, tmp_path, asked):
    run = tmp_path / "run"
    job = start(2, *flags, "--cpu_devices=1", "--epochs=4000", f"--workdir={run}")
    wait_for_lines(run, 3, job)
    job[asked].send_signal(signal.SIGTERM)
    assert finish(job) == (
        f"stopped after epoch {rows(run)} of 4000; to go on: python -m experiments.train --resume "
        f"--workdir={run}\n"
    )
    assert [path.stem for path in (run / runs.CHECKPOINTS).iterdir()] == [str(rows(run))]


def test_the_mistake_of_one_process_is_told_by_all(start, flags, tmp_path):
    own = [[], ["--data_dir=/no/such"]]
    workdir = f"--workdir={tmp_path / 'run'}"
    told = fail(start(2, *flags, "--cpu_devices=1", workdir, own=own))
    assert told == [
        "error: process 1 of 2: /no/such: no such folder\n",
        "error: /no/such: no such folder\n",
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mistakes_end_all_processes(start, flags, tmp_path, tiny_split, write_idx_folder):
    def mistake(*given, own=()):
        workdir = f"--workdir={tmp_path / 'run'}"
        return fail(start(2, *flags, "--cpu_devices=1", workdir, *given, own=own))

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    here, there = mistake(f"--workdir={tmp_path / 'full'}")
    assert "is not empty" in here
    assert there.startswith("error: process 0 of 2: ")
    assert "is not empty" in there
    for line in mistake(own=[[], ["--seed=3"]]):
        assert "seed=3 in process 1 of 2, and 0 in process 0" in line
    others = write_idx_folder(tmp_path / "others", tiny_split(60, seed=5), tiny_split(13))
    for line in mistake(own=[[], [f"--data_dir={others}"]]):
        assert "process 1 of 2 has read other images or labels than process 0" in line
    for line in mistake("--cpu_devices=3"):
        assert "batch_size=8 and train_size=40 must divide by shards=6: the nearest that do" in line
    assert not (tmp_path / "run").exists()
    for line in mistake("--activation=relu", "--loss=cross_entropy", "--learning_rate=1e38"):
        assert "became nan in epoch" in line
    assert not (tmp_path / "run" / runs.SUMMARY_FILE).exists()


@pytest.fixture
def sweep(flags):
    """Flags of a sweep of two programs, of runs that take some tenths of a second."""
    vary = ("--vary=learning_rate=0.1,0.3", "--vary=hidden=4,6x5")
    return (*flags, "--batch_size=1", "--epochs=200", *vary, "--seeds=4", "--chunk=1")


def results(folder):
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted([value for name, value in row.items() if name != "seconds"] for row in rows)


def test_a_sweep_of_two_processes_is_the_sweep_of_two_lanes(start, run_module, flags, tmp_path):
    sweep = (*flags, "--vary=learning_rate=0.1,0.3", "--seeds=3", "--epochs=2")
    job = ("--cpu_devices=1", f"--workdir={tmp_path / 'job'}")
    out = finish(start(2, *sweep, *job, module="experiments.sweep"))
    assert "recommended: best by validation" in out
    one = ("--cpu_devices=2", f"--workdir={tmp_path / 'one'}")
    assert run_module("experiments.sweep", *sweep, *one).stdout.count("\n") == out.count("\n")
    assert results(tmp_path / "job") == results(tmp_path / "one")
    assert len(results(tmp_path / "job")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_sweep_goes_on_in_a_job(start, run_module, sweep, tmp_path, killed):
    run = tmp_path / "job"
    given = ("--cpu_devices=1", f"--workdir={run}")
    job = start(2, *sweep, *given, module="experiments.sweep")
    deadline = time.monotonic() + 60
    while not (run / "results.csv").exists() or len(results(run)) < 2:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in job), [p.communicate() for p in job]
        time.sleep(0.01)
    job[killed].kill()
    (line,) = fail([job[1 - killed]], seconds=15)
    assert " lost " in line
    done = len(results(run))
    assert 2 <= done < 16
    finish(start(2, "--resume", *given, module="experiments.sweep"))
    alone = ("--cpu_devices=2", f"--workdir={tmp_path / 'alone'}")
    assert run_module("experiments.sweep", *sweep, *alone).returncode == 0
    assert results(run) == results(tmp_path / "alone")


@pytest.mark.slow
def test_slurm_is_detected(flags, tmp_path):
    """By what srun sets for each of its tasks; the port is of the job's number."""
    job = []
    for task in range(2):
        slurm = {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "SLURM_PROCID": str(task),
            "SLURM_LOCALID": str(task),
        }
        given = ("--distributed=auto", "--cpu_devices=1", f"--workdir={tmp_path / 'run'}")
        job.append(
            subprocess.Popen(
                [sys.executable, "-m", "experiments.train", *flags, *given],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **slurm},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    assert "test accuracy" in finish(job)
    assert "--shards=2\n" in (tmp_path / "run" / runs.FLAGS_FILE).read_text()


def test_the_message_of_a_fatal_error_is_one_line():
    # As jaxlib 0.10.2 wrote it when process 1 was stopped.
    written = [
        b"W1122 17:23:59.1 7 other.cc:1] a warning\n",
        b"E1122 17:24:00.1 7 coordination_service.cc:1549] [60] Use error polling: UNAVAILABLE:\n",
        b"1\n",
        b"The tasks have crashed.\n",
        b"F1122 17:24:00.2 8 client.h:80] Terminating process because the JAX distributed service "
        b"detected fatal errors. See the logs. absl::Status: UNAVAILABLE: The following tasks are "
        b"unhealthy (stopped sending heartbeats):\n",
        b"1\n",
        b"The tasks have crashed.\n",
        b"*** Check failure stack trace: ***\n",
        b"    @     0x7f06d9d40634  absl::lts_20260107::log_internal::LogMessage::SendToLog()\n",
    ]
    assert list(last_words.translate(written)) == [
        written[0],
        b"error: lost another process, which was killed or cannot be reached: UNAVAILABLE: The "
        b"following tasks are unhealthy (stopped sending heartbeats): 1 The tasks have crashed.\n",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--distributed=auto"], "JAX detects no job of several processes here"),
        (["--process_id=1"], "--process_id without --coordinator_address: a job needs all of"),
        (
            [
                "--distributed=auto",
                "--coordinator_address=a:1",
                "--num_processes=2",
                "--process_id=0",
            ],
            "--distributed=auto and --coordinator_address: choose one",
        ),
    ],
)
def test_flags_of_a_job_that_cannot_be(run_module, assert_one_line_error, tmp_path, given, message):
    process = run_module("experiments.train", *given, f"--workdir={tmp_path / 'run'}")
    assert_one_line_error(process, message)
    assert not (tmp_path / "run").exists()
