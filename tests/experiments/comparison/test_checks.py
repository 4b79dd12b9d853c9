"""The checks: the gradient check finds every mistake, training shows the rest."""

import numpy as np
import pytest

from experiments.comparison import checks
from experiments.comparison.checks import FAULTS, NONE, mistaken


@pytest.fixture(scope="module")
def disagreements(convolutional):
    found = checks.gradient_check(convolutional, mistaken(convolutional, FAULTS))
    return {fault: max(by_array.values()) for fault, by_array in found.items()}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != NONE])
def test_the_gradient_check_catches_every_mistake(disagreements, fault):
    if fault not in disagreements:
        pytest.skip("no layer of this network can have it: see tests/checking")
    assert disagreements[fault] > 1e-2


def test_the_gradient_check_passes_the_right_gradient(disagreements):
    assert disagreements[NONE] < checks.TOLERANCE / 10


def test_training_shows_what_the_other_checks_say(problem, splits):
    verdicts, curves = checks.rows(problem, splits, ("off_by_one",), epochs=20, seeds=2)
    right, wrong = verdicts
    assert (right.fault, wrong.fault) == (NONE, "off_by_one")
    assert right.caught_by == ""
    assert "gradient check" in wrong.caught_by
    assert right.accuracy > 0.9
    assert [point.step for point in curves] == [50, 100, 150, 200] * 2
    assert np.isclose(curves[0].loss, right.first_loss)
    assert np.isclose(curves[3].loss, right.last_loss)
