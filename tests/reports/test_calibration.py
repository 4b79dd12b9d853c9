"""Calibration: bins and errors worked out by hand, and the bounds any network keeps to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_jax.reports.calibration import BINS, expected_calibration_error, reliability

predictions = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50)


def test_bins_worked_out_by_hand():
    confidence = [0.125, 0.25, 0.5, 0.625, 0.75, 1.0]
    correct = [False, False, True, True, False, True]
    counts, accuracy, mean_confidence = reliability(np.array(confidence), np.array(correct), bins=4)
    np.testing.assert_array_equal(counts, [2, 1, 2, 1])  # a boundary belongs to the bin below it
    np.testing.assert_array_equal(accuracy, [0, 1, 0.5, 1])
    np.testing.assert_array_equal(mean_confidence, [0.1875, 0.5, 0.6875, 1])


def test_expected_calibration_error_worked_out_by_hand():
    # Three predictions at 0.9, of which one is right; one at 0.6, right: 3/4 |1/3 - 0.9|, 1/4 0.4.
    binned = reliability(np.array([0.9, 0.9, 0.9, 0.6]), np.array([True, False, False, True]))
    assert expected_calibration_error(binned) == pytest.approx(3 / 4 * (0.9 - 1 / 3) + 0.4 / 4)


def test_an_empty_bin_has_no_accuracy_and_no_weight():
    binned = reliability(np.array([1.0]), np.array([True]))
    assert binned.counts.tolist() == [0] * (BINS - 1) + [1]
    assert np.isnan(binned.accuracy[:-1]).all()
    assert expected_calibration_error(binned) == 0


def test_a_confidence_of_zero_is_counted():
    assert reliability(np.array([0.0]), np.array([False])).counts[0] == 1


def test_a_well_calibrated_network_has_a_small_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 100_000)
    binned = reliability(confidence, rng.uniform(size=len(confidence)) < confidence)
    assert expected_calibration_error(binned) < 0.01


@given(predictions, st.integers(1, 30))
def test_every_prediction_is_in_one_bin_that_holds_its_confidence(drawn, bins):
    confidence, correct = map(np.array, zip(*drawn, strict=True))
    counts, accuracy, mean_confidence = reliability(confidence, correct, bins)
    assert counts.sum() == len(drawn)
    assert np.nansum(counts * accuracy) == pytest.approx(correct.sum())
    for m in np.flatnonzero(counts):
        assert m / bins - 1e-12 <= mean_confidence[m] <= (m + 1) / bins + 1e-12


@given(predictions)
def test_one_bin_measures_the_gap_of_the_means(drawn):
    confidence, correct = map(np.array, zip(*drawn, strict=True))
    error = expected_calibration_error(reliability(confidence, correct, bins=1))
    assert error == pytest.approx(abs(correct.mean() - confidence.mean()))
    # More bins can only tell over- from underconfidence, never hide it (triangle inequality).
    assert expected_calibration_error(reliability(confidence, correct)) >= error - 1e-12


@pytest.mark.parametrize("confidence", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(confidence):
    with pytest.raises(ValueError, match="from 0 to 1"):
        reliability(np.array([confidence]), np.array([True]))


def test_no_bins_and_no_predictions_are_refused():
    with pytest.raises(ValueError, match="bins=0"):
        reliability(np.array([0.5]), np.array([True]), bins=0)
    with pytest.raises(ValueError, match="no predictions"):
        expected_calibration_error(reliability(np.array([]), np.array([], bool)))
