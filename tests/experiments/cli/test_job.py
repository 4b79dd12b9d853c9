"""Jobs of several processes: real ones, on loopback, by Gloo; some of them are killed."""

import csv
import functools
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


def finish(job, status=0):
    """What process 0 prints; it alone does, and all end with the same status."""
    ended = [process.communicate(timeout=120) for process in job]
    assert [process.returncode for process in job] == [status] * len(job), ended
    told = ("data: ", "warning: ")  # of what was read
    errors = [line for _, err in ended for line in err.splitlines()]
    assert [line for line in errors if not line.startswith(told)] == []
    assert [out for out, _ in ended[1:]] == [""] * (len(job) - 1)
    return ended[0][0]


def fail(job, seconds=60):
    """What each process says on stderr; all of them end in that time, none of them well."""
    deadline = time.monotonic() + seconds
    ended = [process.communicate(timeout=deadline - time.monotonic()) for process in job]
    assert all(process.returncode != 0 for process in job)
    assert [out for out, _ in ended] == [""] * len(job)
    return [err for _, err in ended]


def fail_alike(job):
    """The one line that all processes of a job end with, where each finds the same mistake."""
    lines = fail(job)
    assert len(set(lines)) == 1, lines
    assert len(lines[0].splitlines()) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


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
    """Kills one process in the middle, and lets the job go on."""
    saving = ("--cpu_devices=1", "--checkpoint_seconds=1e-6", f"--workdir={run}")
    job = start(processes, *flags, *saving)
    wait_for_lines(run, 3, job)
    job[killed].kill()
    others = [process for process in job if process is not job[killed]]
    fail(others, seconds=15)
    assert not (run / runs.SUMMARY_FILE).exists()
    finish(start(processes, "--resume", f"--workdir={run}", "--checkpoint_seconds=0"))


@pytest.fixture(scope="module")
def alone(run_module, flags, tmp_path_factory):
    """The folder of the run of one process with so many devices, made once."""

    @functools.cache
    def run(shards):
        folder = tmp_path_factory.mktemp("alone") / "run"
        process = run_module(
            "experiments.train", *flags, f"--shards={shards}", f"--workdir={folder}"
        )
        assert process.returncode == 0, process.stderr
        return folder

    return run


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_job_resumed_is_the_run_of_one_process_with_as_many_devices(
    start, flags, alone, tmp_path, killed
):
    kill_and_resume(start, flags, tmp_path / "job", processes=2, killed=killed)
    assert model(tmp_path / "job") == model(alone(2))
    assert losses(tmp_path / "job") == losses(alone(2))


@pytest.mark.slow
def test_a_killed_job_of_four_resumed_is_a_job_of_two_with_as_many_devices(
    start, flags, alone, tmp_path
):
    kill_and_resume(start, flags, tmp_path / "four", processes=4, killed=2)
    finish(start(2, *flags, "--cpu_devices=2", f"--workdir={tmp_path / 'two'}"))
    assert model(tmp_path / "four") == model(tmp_path / "two")
    # More than two numbers Gloo adds in another order than one process does.
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(alone(4)), rtol=1e-6)


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(start, flags, tmp_path):
    job = start(2, *flags, "--cpu_devices=1", "--epochs=4000", f"--workdir={tmp_path / 'run'}")
    wait_for_lines(tmp_path / "run", 2, job)
    job[1].send_signal(signal.SIGSTOP)
    fail(job[:1], seconds=15)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_a_stop_asked_of_one_process_stops_all_after_the_same_epoch(start, flags, tmp_path, asked):
    run = tmp_path / "run"
    job = start(2, *flags, "--cpu_devices=1", "--epochs=4000", f"--workdir={run}")
    wait_for_lines(run, 3, job)
    job[asked].send_signal(signal.SIGTERM)
    assert finish(job, 128 + signal.SIGTERM) == (
        f"stopped after epoch {rows(run)} of 4000; to go on: python -m experiments.train --resume "
        f"--workdir={run}\n"
    )
    assert [path.stem for path in (run / runs.CHECKPOINTS).iterdir()] == [str(rows(run))]


def test_the_mistake_of_one_process_ends_all(start, flags, tmp_path):
    own = [[], ["--data_dir=/no/such"]]
    workdir = f"--workdir={tmp_path / 'run'}"
    _, said = fail(start(2, *flags, "--cpu_devices=1", workdir, own=own), seconds=30)
    assert said.startswith("error: /no/such: no such folder or file\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mistakes_end_all_processes(start, flags, tmp_path, tiny_split, write_idx_folder):
    def job(*given, own=()):
        workdir = f"--workdir={tmp_path / 'run'}"
        return start(2, *flags, "--cpu_devices=1", workdir, *given, own=own)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    here, _ = fail(job(f"--workdir={tmp_path / 'full'}"))
    assert "is not empty" in here.splitlines()[0]
    _, there = fail(job(own=[[], ["--seed=3"]]))
    assert "seed=3 in process 1 of 2, and 0 in process 0" in there.splitlines()[0]
    others = write_idx_folder(tmp_path / "others", tiny_split(60, seed=5), tiny_split(13))
    _, there = fail(job(own=[[], [f"--data_dir={others}"]]))
    assert "process 1 of 2 has read other images or labels than process 0" in there.splitlines()[0]
    line = fail_alike(job("--cpu_devices=3"))
    assert "batch_size=8 and train_size=40 must be multiples of shards=6: the nearest are" in line
    assert not (tmp_path / "run").exists()
    line = fail_alike(job("--activation=relu", "--loss=cross_entropy", "--learning_rate=1e38"))
    assert "became nan in epoch" in line
    assert not (tmp_path / "run" / runs.SUMMARY_FILE).exists()


@pytest.fixture(scope="module")
def sweep(flags):
    """Flags of a sweep of two programs, of runs that take some tenths of a second."""
    vary = ("--vary=learning_rate=0.1,0.3", "--vary=hidden=4,6x5")
    return (*flags, "--batch_size=1", "--epochs=200", *vary, "--seeds=4", "--chunk=1")


@pytest.fixture(scope="module")
def sweep_alone(run_module, sweep, tmp_path_factory):
    """What that sweep gives in one process of two devices."""
    folder = tmp_path_factory.mktemp("sweep") / "alone"
    process = run_module("experiments.sweep", *sweep, "--cpu_devices=2", f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    return results(folder)


def results(folder):
    with open(folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted([value for name, value in row.items() if name != "seconds"] for row in rows)


@pytest.mark.slow
def test_a_sweep_of_two_processes_is_the_sweep_of_two_lanes(start, run_module, flags, tmp_path):
    sweep = (*flags, "--vary=learning_rate=0.1,0.3", "--seeds=3", "--epochs=2")
    job = ("--cpu_devices=1", f"--workdir={tmp_path / 'job'}")
    out = finish(start(2, *sweep, *job, module="experiments.sweep"))
    assert "best by validation" in out
    one = ("--cpu_devices=2", f"--workdir={tmp_path / 'one'}")
    assert run_module("experiments.sweep", *sweep, *one).stdout.count("\n") == out.count("\n")
    assert results(tmp_path / "job") == results(tmp_path / "one")
    assert len(results(tmp_path / "job")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_sweep_goes_on_in_a_job(start, sweep, sweep_alone, tmp_path, killed):
    run = tmp_path / "job"
    given = ("--cpu_devices=1", f"--workdir={run}")
    job = start(2, *sweep, *given, module="experiments.sweep")
    deadline = time.monotonic() + 60
    while not (run / "results.csv").exists() or len(results(run)) < 2:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in job), [p.communicate() for p in job]
        time.sleep(0.01)
    job[killed].kill()
    fail([job[1 - killed]], seconds=15)
    done = len(results(run))
    assert 2 <= done < 16
    finish(start(2, "--resume", *given, module="experiments.sweep"))
    assert results(run) == sweep_alone


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
def test_flags_of_a_job_that_cannot_be(
    fork_module, assert_one_line_error, tmp_path, given, message
):
    process = fork_module("experiments.train", *given, f"--workdir={tmp_path / 'run'}")
    assert_one_line_error(process, message)
    assert not (tmp_path / "run").exists()
