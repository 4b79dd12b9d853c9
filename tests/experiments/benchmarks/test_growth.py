"""What growth is measured over."""

from experiments.benchmarks import sections


def test_lanes_are_cores_on_a_cpu_and_devices_elsewhere():
    assert sections.lanes("cpu")["1 lane"] == {"JAX_NUM_CPU_DEVICES": "1"}
    assert sections.lanes("gpu") == {"all gpu devices": {}}
