"""What growth is measured over."""

from experiments.benchmarks import growth


def test_lanes_are_cores_on_a_cpu_and_devices_elsewhere():
    assert growth.lanes("cpu")["1 lane"] == {"JAX_NUM_CPU_DEVICES": "1"}
    assert growth.lanes("gpu") == {"all gpu devices": {}}
