"""Devices and threads: as the user asked, by a flag or by JAX's own variables."""

import os

import jax
import pytest
from absl import flags as absl_flags

from digits_jax import Config
from digits_jax.parallel.distributed import ALONE
from digits_jax.training import product_flops
from experiments.cli import devices, flags

CNN = ("conv24x5/2", "conv48x3/2", "conv96x3")


def test_the_operations_of_products_are_those_of_the_layers():
    assert product_flops(Config()) == 6 * 10 * (785 * 30 + 31 * 10)
    convolution = 26 * 24 * 14 * 14 + (24 * 9 + 1) * 48 * 7 * 7 + (48 * 9 + 1) * 96 * 7 * 7
    dense = (96 * 7 * 7 + 1) * 10
    assert product_flops(Config(hidden=CNN, batch_size=64)) == 6 * 64 * (convolution + dense)


@pytest.fixture
def given(monkeypatch):
    """Parses flags of a training in an environment, in which nothing of JAX is changed."""

    def parse(*words, **environment):
        values = absl_flags.FlagValues()
        flags.define_config(values=values)
        for name, default in {"cpu_threads": "auto", "cpu_devices": "auto"}.items():
            absl_flags.DEFINE_string(name, default, "", flag_values=values)
        for name in ("data_parallel", "resume"):
            absl_flags.DEFINE_bool(name, False, "", flag_values=values)
        values(["", *words])
        monkeypatch.setattr(devices, "FLAGS", values)
        monkeypatch.setattr(flags, "config", lambda: Config(hidden=tuple(values.hidden)))
        asked = {}
        monkeypatch.setattr(jax.config, "update", asked.__setitem__)
        for name in ("PJRT_NPROC", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES"):
            monkeypatch.setenv(name, environment.get(name, ""))
            if name not in environment:
                monkeypatch.delenv(name)
        return asked

    return parse


@pytest.mark.parametrize(
    ("words", "environment", "threads"),
    [
        ((), {}, "1"),
        ((f"--hidden={','.join(CNN)}",), {}, None),
        (("--shards=2",), {}, None),
        (("--cpu_threads=3",), {}, "3"),
        ((), {"PJRT_NPROC": "2"}, "2"),
    ],
    ids=["small", "convolutions", "shared", "as asked", "by the environment"],
)
def test_a_small_network_has_one_thread_unless_somebody_says_otherwise(
    given, words, environment, threads
):
    given(*words, **environment)
    devices.use_threads(ALONE)
    assert os.environ.get("PJRT_NPROC") == threads


@pytest.mark.parametrize("text", ["0", "x", "-1", "1025"])
def test_threads_that_are_no_number_are_refused(given, text):
    given(f"--cpu_threads={text}")
    with pytest.raises(ValueError, match=f"cpu_threads={text}: expected auto, or an integer"):
        devices.use_threads(ALONE)


def test_threads_against_the_users_environment_are_refused(given):
    given("--cpu_threads=2", PJRT_NPROC="1")
    with pytest.raises(ValueError, match="cpu_threads=2: the environment says PJRT_NPROC=1"):
        devices.use_threads(ALONE)


@pytest.mark.parametrize(
    "environment",
    [
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        {"JAX_NUM_CPU_DEVICES": "4"},
    ],
    ids=["XLA_FLAGS", "JAX_NUM_CPU_DEVICES"],
)
def test_the_number_of_devices_that_the_environment_says_is_left(given, environment):
    asked = given("--data_parallel", **environment)
    devices.use_cpu_devices(auto=2)
    assert asked == {}
    asked = given("--data_parallel")
    devices.use_cpu_devices(auto=2)
    assert asked == {"jax_num_cpu_devices": 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        {"JAX_NUM_CPU_DEVICES": "4"},
    ],
    ids=["XLA_FLAGS", "JAX_NUM_CPU_DEVICES"],
)
def test_a_run_says_how_many_devices_took_part(start_module, tmp_path, environment):
    words = ("--train_size=400", "--batch_size=20", "--epochs=1", f"--workdir={tmp_path / 'run'}")
    process = start_module(
        "experiments.train", *words, "--data_parallel", environment={**os.environ, **environment}
    )
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "on 4 x cpu, " in out
    assert '"devices": 4' in (tmp_path / "run" / "summary.json").read_text()
