"""Runs that are killed, stopped, damaged or crowded out, and go on: real processes."""

import csv
import gzip
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digits_jax import runs

ROOT = Path(__file__).parents[2]
EPOCHS = 60
TMP = "*.orbax-checkpoint-tmp"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def flags(tmp_path, write_idx_folder, tiny_split):
    """A run of `EPOCHS` epochs, each a few milliseconds of work."""
    folder = write_idx_folder(tmp_path / "data", tiny_split(700), tiny_split(12, seed=1))
    return (
        f"--data_dir={folder}",
        "--train_size=600",
        "--validation_size=100",
        "--batch_size=1",
        "--optimizer=momentum",
        "--learning_rate=0.01",
        f"--epochs={EPOCHS}",
    )


@pytest.fixture
def start():
    """Starts `python -m experiments.train FLAGS`; what still runs at the end is killed."""
    processes = []

    def start(*flags, before=()):
        command = [*before, sys.executable, "-m", "experiments.train", *map(str, flags)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def refused(process, message):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, (out, err)
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert message in err


def wait_for(condition, process, seconds=120):
    """Waits until `condition()`; false where the process ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def lines(run):
    path = run / runs.METRICS_FILE
    return path.read_text().count("\n") if path.exists() else 0


def epochs(run):
    with open(run / runs.METRICS_FILE, newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def kill(process):
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def kill_within_a_save(process, run):
    """Kills between the first byte of a checkpoint and its last; false where the run ended."""
    folder = run / runs.CHECKPOINTS
    while wait_for(lambda: any(folder.glob(TMP)), process):
        process.send_signal(signal.SIGSTOP)
        if any(folder.glob(TMP)):
            kill(process)
            assert any(folder.glob(TMP))
            return True
        process.send_signal(signal.SIGCONT)
    return False


def same_run(run, unbroken):
    assert (run / runs.MODEL_FILE).read_bytes() == (unbroken / runs.MODEL_FILE).read_bytes()
    assert epochs(run) == list(range(1, EPOCHS + 1))
    tables = []
    for directory in (run, unbroken):
        with open(directory / runs.METRICS_FILE, newline="") as file:
            tables.append([row[:-1] for row in csv.reader(file)])  # all but the seconds
    assert tables[0] == tables[1]


def unbroken_run(start, flags, directory):
    finish(start(*flags, "--checkpoint_seconds=0", f"--workdir={directory}"))
    return directory


def kill_and_resume(start, flags, tmp_path, kills, seed):
    """Kills a run again and again, each time within a save or at a random moment, to its end."""
    draw = random.Random(seed)
    unbroken = unbroken_run(start, flags, tmp_path / "unbroken")
    run = tmp_path / "run"
    moments, within = [], 0
    process = start(*flags, "--checkpoint_seconds=1e-6", f"--workdir={run}")
    assert wait_for((run / runs.FLAGS_FILE).exists, process)
    while len(moments) < kills:
        if draw.random() < 0.4 or len(moments) == 0:
            within += kill_within_a_save(process, run)
            moments.append("save")
        else:
            # From the start of the process, through imports and compilation, into the training.
            moments.append(draw.uniform(0.0, 6.0))
            time.sleep(moments[-1])
            process.kill()
            process.communicate()
        process = start("--resume", f"--workdir={run}")
    finish(process)
    assert within > 0, moments
    print(f"seed {seed}: {within} kills within a save; moments {moments}")
    same_run(run, unbroken)


def test_killed_runs_end_with_the_same_bytes(start, flags, tmp_path):
    kill_and_resume(start, flags, tmp_path, kills=3, seed=0)


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_same_bytes(start, flags, tmp_path):
    # More epochs than the kills leave time for.
    flags = [flag for flag in flags if not flag.startswith("--epochs")]
    kill_and_resume(start, (*flags, f"--epochs={EPOCHS}"), tmp_path, kills=20, seed=1)


def test_stopped_runs_say_how_to_go_on_and_end_with_the_same_bytes(start, flags, tmp_path):
    unbroken = unbroken_run(start, flags, tmp_path / "unbroken")
    run = tmp_path / "a run"
    command = f"to go on: python -m experiments.train --resume --workdir={shlex.quote(str(run))}\n"
    resume = ("--resume", f"--workdir={run}")

    process = start(*flags, "--checkpoint_seconds=0", f"--workdir={run}")
    assert wait_for((run / runs.FLAGS_FILE).exists, process)
    process.send_signal(signal.SIGTERM)  # as it compiles
    assert finish(process) == (f"stopped after epoch 0 of {EPOCHS}; {command}", "")

    process = start(*resume)
    assert wait_for(lambda: lines(run) > 3, process)
    kill(process)  # before any checkpoint
    assert not (run / runs.CHECKPOINTS).exists()

    process = start(*resume)
    wait_for(lambda: lines(run) == 1, process)  # it begins again
    wait_for(lambda: lines(run) > 3, process)
    process.send_signal(signal.SIGINT)
    out, err = finish(process)
    done = len(epochs(run))
    assert 3 <= done < EPOCHS
    assert (out, err) == (f"stopped after epoch {done} of {EPOCHS}; {command}", "")
    assert [path.name for path in (run / runs.CHECKPOINTS).iterdir()] == [str(done)]

    words = shlex.split(out.split("to go on: ")[1])
    again = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True
    )
    assert again.stdout.count(b"\n") == 4
    same_run(run, unbroken)

    assert finish(start(*resume)) == (f"{run} is finished: {EPOCHS} epochs\n", "")
    refused(start(*resume, "--epochs=59"), "--epochs=59 contradicts --epochs=60 of the run")
    refused(start(*resume, "--momentum=0.5"), "--momentum=0.5 contradicts --momentum=0.9 of the")
    refused(start(*resume, "--hidden=8,8"), "--hidden=8,8 contradicts --hidden=30 of the run")


def long_epoch(run):
    """Flags of a run whose first epoch takes a minute."""
    return ("--train_size=50000", "--batch_size=1", "--hidden=500", f"--workdir={run}")


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)]
)
def test_a_second_signal_ends_at_once_and_a_second_run_is_refused(start, tmp_path, first, second):
    run = tmp_path / "run"
    process = start(*long_epoch(run))
    assert wait_for(lambda: lines(run) == 1, process)
    if second == signal.SIGTERM:
        refused(start("--resume", f"--workdir={run}"), f"another run is writing into {run}")
        refused(start(*long_epoch(run), "--overwrite"), f"another run is writing into {run}")
        assert (run / runs.FLAGS_FILE).exists()
    process.send_signal(first)
    time.sleep(0.3)
    assert process.poll() is None  # it finishes its epoch
    process.send_signal(second)
    process.communicate(timeout=2)
    assert process.returncode == 128 + second
    with runs.locked(run):  # the kernel let go of the lock
        pass


def stopped_run(start, flags, run):
    """A run with one checkpoint."""
    process = start(*flags, "--checkpoint_seconds=0", f"--workdir={run}")
    assert wait_for(lambda: lines(run) > 3, process)
    process.send_signal(signal.SIGTERM)
    finish(process)
    [checkpoint] = (run / runs.CHECKPOINTS).iterdir()
    return checkpoint


def test_where_files_cannot_grow_the_earlier_checkpoint_stays(start, flags, tmp_path):
    flags = (*flags, "--hidden=300")  # a checkpoint of several times the limit
    run = tmp_path / "run"
    checkpoint = stopped_run(start, flags, run)
    limited = ("bash", "-c", 'ulimit -f 16; exec "$@"', "bash")
    resume = ("--resume", f"--workdir={run}")
    refused(
        start(*resume, "--checkpoint_seconds=1e-6", before=limited),
        f"{run}/checkpoints: cannot save a checkpoint: File too large",
    )
    assert checkpoint.is_dir()
    finish(start(*resume))
    same_run(run, unbroken_run(start, flags, tmp_path / "unbroken"))


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_the_earlier_checkpoint_stays(start, flags, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        flags = (*flags, "--hidden=300")
        run = disk / "run"
        checkpoint = stopped_run(start, flags, run)
        resume = ("--resume", f"--workdir={run}")
        refused(start(*resume, "--checkpoint_seconds=1e-6"), "No space left on device")
        assert checkpoint.is_dir()
        subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True)
        finish(start(*resume))
        same_run(run, unbroken_run(start, flags, tmp_path / "unbroken"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_damage_is_reported_and_epochs_may_grow(start, flags, tmp_path):
    unbroken = unbroken_run(start, flags, tmp_path / "unbroken")
    run = tmp_path / "run"
    fewer = (*flags, "--epochs=8", "--checkpoint_seconds=1e-6")
    finish(start(*fewer, "--tensorboard", "--profile", f"--workdir={run}"))
    assert "--epochs=8\n" in (run / runs.FLAGS_FILE).read_text()

    assert sorted(path.name for path in (run / runs.CHECKPOINTS).iterdir()) == ["6", "7", "8"]
    for path in (run / runs.CHECKPOINTS / "8").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    resume = ("--resume", f"--workdir={run}", f"--epochs={EPOCHS}", "--checkpoint_seconds=0")
    _, err = finish(start(*resume))
    assert err == (
        f"warning: {run}/checkpoints/8 is damaged (its metadata cannot be read): using the "
        "checkpoint before it\n"
    )
    same_run(run, unbroken)
    assert f"--epochs={EPOCHS}\n" in (run / runs.FLAGS_FILE).read_text()
    assert len(list(run.glob("events.out.tfevents.*"))) == 2

    # The trace that TensorBoard and Perfetto open: of the second epoch and no other.
    [trace] = (run / runs.PROFILE).glob("plugins/profile/*/*.trace.json.gz")
    assert list(trace.parent.glob("*.xplane.pb"))
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    steps = [event["args"] for event in events if event.get("name") == "epoch"]
    assert [step["step_num"] for step in steps] == ["2"]


def test_where_the_schedule_spans_all_epochs_they_may_not_grow(start, tmp_path):
    (tmp_path / runs.FLAGS_FILE).write_text("--schedule=cosine\n--epochs=30\n")
    refused(
        start("--resume", f"--workdir={tmp_path}", "--epochs=60"),
        "--epochs=60 contradicts --epochs=30 of the run: its learning rate depends on epochs, as "
        "--schedule=cosine spans them all",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--resume"], "--resume needs --workdir=RUN, and no --overwrite"),
        (["--resume", "--workdir=tests"], "tests holds no run to resume: it has no flags.txt"),
        (["--profile", "--epochs=1", "--workdir=WORKDIR"], "--profile traces the second epoch"),
    ],
)
def test_a_mistake_gives_one_line(start, tmp_path, given, message):
    given = [flag.replace("WORKDIR", str(tmp_path / "run")) for flag in given]
    refused(start(*given), message)


def test_a_short_run_imports_neither_orbax_nor_tensorboardx(start, tmp_path):
    script = (
        "import runpy, sys\n"
        "try: runpy.run_module('experiments.train', run_name='__main__')\n"
        "except SystemExit as error: assert not error.code, error.code\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert 'jax' in names\n"
        "print(sorted(names & {'orbax', 'tensorboardX', 'tensorflow_datasets'}))"
    )
    process = subprocess.run(
        [
            sys.executable,
            *("-c", script, "--train_size=500", "--epochs=2", f"--workdir={tmp_path / 'run'}"),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"
