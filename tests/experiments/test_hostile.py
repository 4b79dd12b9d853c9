"""What the machine or its environment refuses: one line and a status in every script."""

import os
import subprocess

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
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cuda: no such device here"),
        ("JAX_PLATFORMS", "nonsense", "JAX_PLATFORMS=nonsense: no such device here"),
        ("JAX_DISABLE_JIT", "1", "JAX_DISABLE_JIT is set: scripts run what they have compiled"),
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


@pytest.mark.parametrize("script", ["sweep", "scaling", "compare_gradients"])
def test_a_network_larger_than_memory_is_refused_before_anything_is_compiled(
    fork_module, assert_one_line_error, tmp_path, script
):
    flags = () if script == "scaling" else (f"--workdir={tmp_path / 'run'}",)
    process = fork_module(f"experiments.{script}", "--hidden=100000000", *flags)
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
        assert err.startswith("error: standard output: [Errno 28]" if lines else "")
