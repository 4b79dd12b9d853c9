"""What the machine or its environment refuses: one line and a status in every script."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = ("--train_size=500", "--validation_size=100", "--epochs=1")
SCRIPTS = {
    "train": RUN,
    "sweep": (*RUN, "--seeds=1"),
    "compare_gradients": ("--quick",),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cuda: this machine has no such device"),
        ("JAX_PLATFORMS", "nonsense", "JAX_PLATFORMS=nonsense: this machine has no such device"),
        ("JAX_DISABLE_JIT", "1", "JAX_DISABLE_JIT is set: unset it, scripts need compilation"),
        ("JAX_ENABLE_X64", "maybe", "invalid truth value 'maybe' for environment 'JAX_ENABLE_X64'"),
        ("JAX_DEFAULT_PRNG_IMPL", "dice", 'Invalid value "dice" for JAX flag'),
    ],
)
def test_an_environment_that_cannot_be_gives_one_line(
    start_module, tmp_path, script, name, value, message
):
    environment = os.environ | {name: value}
    flags = (*SCRIPTS[script], f"--workdir={tmp_path / 'run'}")
    process = start_module(f"experiments.{script}", *flags, environment=environment)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert message in err


LONG = "a" * 5000
# Flags that a script refuses, whatever else it is given, and what it says of them.
REFUSED = {
    "train": {
        "--learning_rate=": "not a number: ''",
        "--learning_rate=nan": "flag --learning_rate=nan: not a number",
        "--init_scale=1e39": "init_scale=1e+39: is more than float32 can hold",
        "--epochs=99999999999999999999999": "at most 2147483647 can be counted",
        "--checkpoint_seconds=nan": "flag --checkpoint_seconds=nan",
        "--patience=-1": "patience=-1: must be at least 0",
        "--judge=best --validation_size=0": "needs validation images",
        "--tensorboard=maybe": "expected true or false, not 'maybe'",
        f"--dataset={LONG}": "unknown dataset",
        f"--data_dir=/{LONG}": "File name too long",
        "--hidden=30,,5": "'' is not a layer",
        "--flagfile=/dev/null/x": "/dev/null/x",
        "--cpu_devices=100000": "an integer from 1 to 1024",
    },
    "sweep": {
        "--vary=learning_rate": "expected FIELD=VALUES with a field among",
        "--vary=learning_rate=log:0:1:3": "LOW above 0 for log",
        "--vary=learning_rate=log:1e-300:1e300:3": "is more than float32 can hold",
        "--vary=epochs=1.5": "'1.5' is not an integer",
        "--vary=judge=best,average": "judge=average needs average > 0",
        "--vary=data_dir=/x,/y": "/x: no such folder",
        "--seeds=99999999999": "a sweep has at most 1000000",
        "--chunk=x": "chunk=x: expected auto",
        "--record=../x": "expected a name, as in classic",
        "--resume --overwrite": "--resume needs --workdir",
    },
    "compare_gradients": {
        "--methods=": "choose among autodiff",
        "--networks=x": "'x' is not a layer",
        "--batch_sizes=0": "batch_size=0: must be",
        "--time_limit=nan": "flag --time_limit=nan: not a number",
        "--record=x": "expected true or false, not 'x'",
        "--workdir=/dev/null": "/dev/null is not a folder",
    },
    "check_gradients": {
        "/nope.py": "entries=/nope.py: no such file",
        "--new=x": "new=x: choose one of activation, loss, gradient, dense",
        "--page=/nope/x.html": "expected the name of a file in an existing folder",
        "--gradients=evolution": "gradients=evolution: an estimate; choose one of autodiff",
        "--activation=silu": "silu has no derivative written by hand",
    },
    "explain_gradients": {"--page=/nope/x.html": "expected the name of a file in an existing"},
    "compare_estimators": {"--methods=": "choose among feedback_alignment"},
    "benchmark": {
        "--sections=x": "choose from epochs",
        "--batch_sizes=99999999": "must be at most 10000",
        "--train_sizes=x": "expected integers",
        "--workdir=": "workdir is empty",
    },
    "compile_for": {
        "--target=": "target=: expected cpu or cpu:8",
        "--target=cpu:0": "target=cpu:0: expected cpu or cpu:8",
        "--target=tpu:v9": "target=tpu:v9: expected cpu or cpu:8",
        "--target=cpu:4": "must be multiples of shards=4: the nearest are batch_size=8",
        "--image_shape=28": "expected height and width",
        "--data_dir=/nope --train_size=all": "/nope: no such folder",
    },
    "report": {
        "/nope": "/nope: no such folder",
        f"/{LONG}": "File name too long",
        "README.md": "README.md: no such folder",
        ". --output=/nope/x.html": "no such folder as /nope",
    },
    "export": {
        "/nope": "/nope: no such run",
        "README.md": "damaged, or not a safetensors file",
        "--model=cnn --output=/dev/null --overwrite": "/dev/null: not a regular file",
        f"--model=cnn --output={LONG}": "File name too long",
    },
    "recognise": {
        "/nope": "/nope: no such file",
        "README.md": "not a picture, or damaged",
        "README.md --csv=/dev/null": "csv=/dev/null: expected a file's name",
        "README.md --csv=README.md": "csv=README.md: exists and is not a result",
        "--run=/nope x": "/nope: no such folder",
        "--labels=/nope": "/nope: No such file or directory",
    },
}
WITH_WORKDIR = ("train", "sweep", "compare_gradients", "benchmark")


@pytest.mark.slow
@pytest.mark.parametrize("script", REFUSED)
def test_an_interrupt_while_a_script_is_imported_ends_it_at_once(start_module, script):
    for loaded in ("_multiarray_umath", "libjax_common", "_jax"):  # as extensions come in
        process = start_module(f"experiments.{script}", "/nope")
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and loaded not in maps.read_text():
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        refused = err.startswith("error: ") and len(err.splitlines()) == 1
        assert (process.returncode, err) == (-signal.SIGINT, "") or refused, err


@pytest.mark.slow
@pytest.mark.parametrize("script", REFUSED)
def test_flags_and_files_that_cannot_be_give_one_line(
    fork_module, assert_one_line_error, tmp_path, script
):
    """51 calls; a line is short enough to be read, and nothing is left behind."""
    devices = {path: os.stat(path).st_rdev for path in ("/dev/null", "/dev/full")}
    for flags, message in REFUSED[script].items():
        own = [f"--workdir={tmp_path / 'run'}"] * (
            script in WITH_WORKDIR and "workdir" not in flags
        )
        process = fork_module(f"experiments.{script}", *own, *flags.split())
        assert_one_line_error(process, message)
        assert len(process.stderr) < 700, flags
        assert "Errno" not in process.stderr
    assert not any(tmp_path.iterdir())
    assert devices == {path: os.stat(path).st_rdev for path in devices}


def damaged(content):
    """A file as a full disk, a careless editor or another program leaves it."""
    return {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "marked": b"\xef\xbb\xbf" + content,
        "junk": bytes(range(256)) * 4,
        "longer": content + b"junk",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flags.txt", "metrics.csv", "summary.json", "model.safetensors"])
def test_a_damaged_file_of_a_run_gives_one_line_or_changes_nothing(
    fork_module, train_run, tmp_path, name
):
    """20 damages, each looked at by five scripts: 100 calls."""
    run = train_run(tmp_path / "run", train_size=100, validation_size=50, epochs=1)
    flags = fork_module("experiments.train", *RUN, f"--workdir={tmp_path / 'other'}")
    assert flags.returncode == 0
    (run / "flags.txt").write_bytes((tmp_path / "other" / "flags.txt").read_bytes())
    whole = (run / name).read_bytes()
    for content in damaged(whole).values():
        (run / name).write_bytes(content)
        for script, *words in (
            ("train", "--resume", f"--workdir={run}"),
            ("sweep", "--resume", f"--workdir={run}"),
            ("report", run, f"--output={tmp_path / 'report.html'}"),
            ("export", run, f"--output={tmp_path / 'page.html'}", "--overwrite"),
            ("recognise", f"--run={run}", "README.md"),
        ):
            process = fork_module(f"experiments.{script}", *words)
            assert "Traceback" not in process.stderr, (script, content[:20])
            if process.returncode:
                assert process.returncode in (1, 2)
                assert len(process.stderr.splitlines()) == 1, process.stderr
                assert process.stderr.startswith("error: ")
        (run / name).write_bytes(whole)


@pytest.mark.parametrize("script", ["sweep", "compare_gradients"])
def test_a_network_larger_than_memory_is_refused_before_anything_is_compiled(
    fork_module, assert_one_line_error, tmp_path, script
):
    flags = ("--hidden=100000000", f"--workdir={tmp_path / 'run'}")
    process = fork_module(f"experiments.{script}", *flags)
    assert_one_line_error(process, "optimizer's state take 592 GiB of memory, and there are")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_disk_that_a_trace_fills_is_named(run_module, assert_one_line_error, tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", tmp_path])
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        flags = (*RUN, "--epochs=3", "--profile", f"--workdir={tmp_path / 'run'}")
        process = run_module("experiments.train", *flags)
        assert_one_line_error(process, f"error: {tmp_path / 'run' / 'profile'}/")
        assert "No space left on device" in process.stderr
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.slow
def test_a_stdout_that_takes_nothing_ends_a_run_by_one_line_or_none(start_module, tmp_path):
    for number, (shell, status, lines) in enumerate(
        [('exec "$@" >/dev/full', 1, 1), ('exec "$@" >&-', 0, 0), ('"$@" | true', 0, 0)]
    ):
        before = ("bash", "-c", shell, "bash")
        flags = (*RUN, f"--workdir={tmp_path / str(number)}")
        process = start_module("experiments.train", *flags, before=before)
        _, err = process.communicate(timeout=120)
        assert process.returncode == status, err
        assert len(err.splitlines()) == lines, err
        assert err.startswith("error: standard output: No space left on device" if lines else "")
