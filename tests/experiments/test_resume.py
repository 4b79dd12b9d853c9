"""Runs that are killed, stopped, damaged or crowded out, and go on: real processes."""

import csv
import functools
import gzip
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from digits_jax import runs
from digits_jax.runs import directories, files

ROOT = Path(__file__).parents[2]
EPOCHS = 60
HALF_WRITTEN = f"*.{files.HALF_WRITTEN}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Processes that compile the same program compile it once."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="module")
def flags(tmp_path_factory, write_idx_folder, tiny_split):
    """A run of `EPOCHS` epochs, each some milliseconds of work; a checkpoint is 80 KB or more."""
    data = tmp_path_factory.mktemp("data")
    write_idx_folder(data, tiny_split(700), tiny_split(12, seed=1))
    return (
        f"--data_dir={data}",
        "--train_size=600",
        "--validation_size=100",
        "--batch_size=1",
        "--hidden=300",
        "--optimizer=momentum",
        "--learning_rate=0.01",
        f"--epochs={EPOCHS}",
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, environment, flags):
    """The directory of that run, which nothing befell."""
    directory = tmp_path_factory.mktemp("unbroken") / "run"
    command = [sys.executable, "-m", "experiments.train", *flags, f"--workdir={directory}"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return directory


@pytest.fixture
def start(start_module, environment):
    """Starts `python -m experiments.train FLAGS`; what still runs at the end is killed."""
    return functools.partial(start_module, "experiments.train", environment=environment)


def finish(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def refused(process, message):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert out == ""
    about_data = ("data: ", "warning: ")
    lines = [line for line in err.splitlines() if not line.startswith(about_data)]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert message in err


def wait_for(condition, process, seconds=120):
    """Waits until `condition()`; false where the process ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
        time.sleep(0.0005)
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
    while wait_for(lambda: any(folder.glob(HALF_WRITTEN)), process):
        process.send_signal(signal.SIGSTOP)
        if any(folder.glob(HALF_WRITTEN)):
            kill(process)
            assert any(folder.glob(HALF_WRITTEN))
            return True
        process.send_signal(signal.SIGCONT)
    return False


def same_run(run, unbroken):
    assert (run / runs.MODEL_FILE).read_bytes() == (unbroken / runs.MODEL_FILE).read_bytes()
    tables = []
    for directory in (run, unbroken):
        assert epochs(directory) == list(range(1, len(epochs(directory)) + 1))
        with open(directory / runs.METRICS_FILE, newline="") as file:
            tables.append([row[:-1] for row in csv.reader(file)])  # all but the seconds
    assert tables[0] == tables[1]


def kill_again_and_again(start, flags, run, kills, seed):
    """Kills a run within a save, as it starts, or at any moment later; then lets it end."""
    draw = random.Random(seed)
    moments = []
    process = start(*flags, "--checkpoint_seconds=1e-6", f"--workdir={run}")
    assert wait_for((run / runs.FLAGS_FILE).exists, process)
    for _ in range(kills):
        kind = draw.choice(["save", "start", "later"]) if moments else "save"
        if kind == "save":
            assert kill_within_a_save(process, run), moments
            moments.append(kind)
        else:
            seconds = draw.uniform(0.0, 2.5 if kind == "start" else 0.1)
            if kind == "later":
                more = lines(run) + draw.randint(1, 8)
                assert wait_for(lambda more=more: lines(run) > more, process), moments
            time.sleep(seconds)
            kill(process)
            moments.append(f"{kind} + {seconds:.3f} s")
        assert not (run / runs.SUMMARY_FILE).exists()
        moments[-1] += f" at epoch {lines(run) - 1}"
        last = ["--checkpoint_seconds=0"] if len(moments) == kills else []
        process = start("--resume", f"--workdir={run}", *last)
    finish(process)
    assert not any(run.rglob(HALF_WRITTEN))
    print(f"seed {seed}: {moments}")


def test_killed_runs_end_with_the_same_bytes(start, flags, unbroken, tmp_path):
    kill_again_and_again(start, flags, tmp_path / "run", kills=3, seed=6)
    same_run(tmp_path / "run", unbroken)


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_same_bytes(start, flags, tmp_path):
    flags = (*flags, "--epochs=2000")  # more than the kills leave time for
    finish(start(*flags, "--checkpoint_seconds=0", f"--workdir={tmp_path / 'unbroken'}"))
    kill_again_and_again(start, flags, tmp_path / "run", kills=20, seed=1)
    same_run(tmp_path / "run", tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gradients", "hidden"),
    [
        ("autodiff", "conv6/2,max2,20"),
        ("direct_feedback_alignment", "conv6/2,max2,20"),
        ("evolution", "conv6/2,max2,20"),
        ("manual", "conv6/2,bn,dropout25,lstm6,last"),
    ],
)
def test_a_killed_convolutional_run_distorts_and_averages_as_an_unbroken_one(
    start, flags, tmp_path, gradients, hidden
):
    network = (f"--hidden={hidden}", "--activation=relu", "--batch_size=30", "--epochs=100")
    numbers = ("--average=0.99", "--rotate=10", "--elastic=0.5", "--thickness=0.3")
    numbers += ("--fade=0.9", "--optimizer=muon", "--learning_rate=0.01")
    numbers += ("--judge=best", "--patience=99", f"--gradients={gradients}")
    flags = (*flags, *network, *numbers)
    finish(start(*flags, "--checkpoint_seconds=0", f"--workdir={tmp_path / 'unbroken'}"))
    kill_again_and_again(start, flags, tmp_path / "run", kills=4, seed=3)
    same_run(tmp_path / "run", tmp_path / "unbroken")


@pytest.mark.slow
def test_stopped_runs_say_how_to_go_on_and_end_with_the_same_bytes(
    start, flags, unbroken, environment, tmp_path
):
    """Stopped as it compiles, killed before a checkpoint, stopped after one, short of space."""
    run = tmp_path / "a run"
    command = f"to go on: python -m experiments.train --resume --workdir={shlex.quote(str(run))}\n"
    resume = ("--resume", f"--workdir={run}")

    process = start(*flags, "--checkpoint_seconds=0", f"--workdir={run}")
    assert wait_for((run / runs.FLAGS_FILE).exists, process)
    process.send_signal(signal.SIGTERM)  # as it compiles
    assert finish(process, 143) == (f"stopped after epoch 0 of {EPOCHS}; {command}", "")

    process = start(*resume)
    assert wait_for(lambda: lines(run) > 3, process)
    kill(process)  # before any checkpoint
    assert not (run / runs.CHECKPOINTS).exists()

    process = start(*resume)
    wait_for(lambda: lines(run) == 1, process)  # it begins again
    wait_for(lambda: lines(run) > 3, process)
    process.send_signal(signal.SIGINT)
    out, err = finish(process, 130)
    done = len(epochs(run))
    assert 3 <= done < EPOCHS
    assert (out, err) == (f"stopped after epoch {done} of {EPOCHS}; {command}", "")
    assert [path.name for path in (run / runs.CHECKPOINTS).iterdir()] == [f"{done}.safetensors"]

    limited = ("bash", "-c", 'ulimit -f 16; exec "$@"', "bash")  # files of 16 KiB at most
    refused(
        start(*resume, "--checkpoint_seconds=1e-6", before=limited),
        f"error: {run}/checkpoints/",
    )
    assert (run / runs.CHECKPOINTS / f"{done}.safetensors").is_file()

    words = shlex.split(out.split("to go on: ")[1])
    again = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert again.stdout.count(b"\n") == 4
    same_run(run, unbroken)

    assert finish(start(*resume)) == (f"{run} is finished: {EPOCHS} epochs\n", "")
    refused(start(*resume, "--epochs=59"), f"--epochs=59 contradicts --epochs={EPOCHS} of the run")
    refused(start(*resume, "--hidden=8,8"), "--hidden=8,8 contradicts --hidden=300 of the run")


def long_epoch(run):
    """Flags of a run whose first epoch takes a minute."""
    return ("--train_size=50000", "--batch_size=1", "--hidden=500", f"--workdir={run}")


def test_a_second_signal_ends_at_once_and_a_second_run_is_refused(start, tmp_path):
    run = tmp_path / "run"
    process = start(*long_epoch(run))
    assert wait_for(lambda: lines(run) == 1, process)
    others = start("--resume", f"--workdir={run}"), start(*long_epoch(run), "--overwrite")
    for other in others:
        refused(other, f"another run is writing into {run}")
    assert (run / runs.FLAGS_FILE).exists()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # it finishes its epoch
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=2)
    assert process.returncode == 128 + signal.SIGTERM
    with directories.locked(run):  # the kernel let go of the lock
        pass


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_the_earlier_checkpoint_stays(
    start, flags, unbroken, tmp_path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        run = disk / "run"
        process = start(*flags, "--checkpoint_seconds=0", f"--workdir={run}")
        assert wait_for(lambda: lines(run) > 3, process)
        process.send_signal(signal.SIGTERM)
        finish(process, 143)
        [checkpoint] = (run / runs.CHECKPOINTS).iterdir()
        resume = ("--resume", f"--workdir={run}")
        refused(start(*resume, "--checkpoint_seconds=1e-6"), "No space left on device")
        assert checkpoint.is_file()
        subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True)
        finish(start(*resume))
        same_run(run, unbroken)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_damage_is_reported_and_epochs_may_grow(start, flags, unbroken, tmp_path):
    run = tmp_path / "run"
    fewer = (*flags, "--epochs=5", "--checkpoint_seconds=1e-6")
    # Later XLA rounds otherwise in the program that also gives the norms of gradients.
    observed = ("--tensorboard",) if jax.__version_info__ < (0, 11) else ()
    finish(start(*fewer, *observed, "--profile", f"--workdir={run}"))
    assert "--epochs=5\n" in (run / runs.FLAGS_FILE).read_text()

    *_, last = saved = sorted((run / runs.CHECKPOINTS).iterdir())
    assert [path.stem for path in saved] == ["3", "4", "5"]
    last.write_bytes(last.read_bytes()[:-1])
    resume = ("--resume", f"--workdir={run}", f"--epochs={EPOCHS}", "--checkpoint_seconds=0")
    _, err = finish(start(*resume))
    assert re.fullmatch(
        f"warning: {last} is damaged \\(.*\\): using the checkpoint before it\n", err
    )
    same_run(run, unbroken)
    assert f"--epochs={EPOCHS}\n" in (run / runs.FLAGS_FILE).read_text()
    assert len(list(run.glob("events.out.tfevents.*"))) == 2 * len(observed)

    # The trace that TensorBoard and Perfetto open: of the second epoch and no other.
    [trace] = (run / runs.PROFILE).glob("plugins/profile/*/*.trace.json.gz")
    assert list(trace.parent.glob("*.xplane.pb"))
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    steps = [event["args"] for event in events if event.get("name") == "epoch"]
    assert [step["step_num"] for step in steps] == ["2"]


def test_a_run_goes_on_with_its_own_data_and_numerics_alone(
    start, start_module, environment, tmp_path, write_idx_folder, tiny_split
):
    run, moved, other = tmp_path / "run", tmp_path / "moved", tmp_path / "other"
    for folder, seed in ((tmp_path / "data", 0), (moved, 0), (other, 2)):
        write_idx_folder(folder, tiny_split(60, seed=seed), tiny_split(12, seed=1))
    sizes = ("--train_size=40", "--validation_size=10", "--checkpoint_seconds=1e-6")
    finish(start(f"--data_dir={tmp_path / 'data'}", *sizes, "--epochs=2", f"--workdir={run}"))
    resume = ("--resume", f"--workdir={run}", "--epochs=3")
    refused(start(*resume, f"--data_dir={other}"), "of another run: data is ")
    for name, value in (("JAX_ENABLE_X64", "1"), ("JAX_RANDOM_SEED_OFFSET", "7")):
        odd = environment | {name: value}
        process = start_module("experiments.train", *resume, environment=odd)
        refused(process, f"of another run: numerics is default there, and {name.lower()}=")
    (tmp_path / "data").rename(tmp_path / "gone")
    finish(start(*resume, f"--data_dir={moved}"))
    summary = json.loads((run / runs.SUMMARY_FILE).read_text())
    assert (summary["numerics"], len(summary["data"])) == ("default", 64)


@pytest.mark.parametrize("flag", ["--schedule=cosine", "--fade=0.5"])
def test_where_a_setting_spans_all_epochs_they_may_not_grow(start, tmp_path, flag):
    (tmp_path / runs.FLAGS_FILE).write_text(f"{flag}\n--epochs=30\n--seed=0\n")
    refused(
        start("--resume", f"--workdir={tmp_path}", "--epochs=60"),
        "--epochs=60 contradicts --epochs=30 of the run: the epochs so far depend on their number, "
        f"as {flag} spans them all",
    )


@pytest.mark.parametrize("content", ["", "--epochs=3\n", "--epochs=3\n--seed=0\n--rot"])
def test_flags_that_were_cut_are_refused(start, tmp_path, content):
    (tmp_path / runs.FLAGS_FILE).write_text(content)
    refused(start("--resume", f"--workdir={tmp_path}"), "is damaged: it does not hold all flags")


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
    assert not (tmp_path / "run").exists()


def test_a_short_run_imports_neither_tensorboardx_nor_tensorflow_datasets(environment, tmp_path):
    script = (
        "import runpy, sys\n"
        "try: runpy.run_module('experiments.train', run_name='__main__')\n"
        "except SystemExit as error: assert not error.code, error.code\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert 'jax' in names\n"
        "print(sorted(names & {'tensorboardX', 'tensorflow_datasets'}))"
    )
    process = subprocess.run(
        [
            sys.executable,
            *("-c", script, "--train_size=500", "--epochs=2", f"--workdir={tmp_path / 'run'}"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"
