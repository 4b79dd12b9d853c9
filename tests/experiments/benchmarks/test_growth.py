"""The points at which growth is measured."""

from experiments.benchmarks import networks
from experiments.benchmarks.growth import DEPTH, IMAGES, WIDTH, Settings, points


def test_points_of_every_axis():
    settings = Settings(
        batch_sizes=(10, 128),
        train_sizes=(100, 1_000),
        widths=(50,),
        depths=(3,),
        rounds=5,
        seconds=0.1,
    )
    found = [
        (point.axis, point.value, point.name, point.images, point.settings["hidden"])
        for point in points(settings)
        if point.settings["gradients"] == "autodiff"
    ]
    assert found == [
        (IMAGES, 100, "autodiff, batch 10", 100, [30]),  # no batch of 128 among 100 images
        (IMAGES, 1_000, "autodiff, batch 10", 1_000, [30]),
        (IMAGES, 1_000, "autodiff, batch 128", 7 * 128, [30]),  # whole batches
        (WIDTH, 50, "autodiff, batch 10", 10_000, [50]),
        (DEPTH, 3, "autodiff, batch 10", 10_000, [30, 30, 30]),
    ]
    assert len(points(settings)) == 2 * len(found)


def test_lanes_are_cores_on_a_cpu_and_devices_elsewhere():
    assert networks.lanes("cpu")["1 lane"] == {"JAX_NUM_CPU_DEVICES": "1"}
    assert networks.lanes("gpu") == {"all gpu devices": {}}
