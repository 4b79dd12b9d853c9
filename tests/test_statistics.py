"""Paired statistics: what they promise, checked by simulation, and against published examples."""

import numpy as np
import pytest
from scipy import stats

from digits_jax import statistics

# A share of 2,000 simulations differs from the true one by less than this, 999 times in 1,000.
SLACK = 3.3 * (0.05 * 0.95 / 2000) ** 0.5


def normal(shape, mean=0.0, seed=0):
    """Accuracies of settings whose runs share the effect of their seed."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, shape)
    return common + rng.normal(mean, 1, shape), common + rng.normal(0, 1, shape)


def columns(accuracies, seeds=None):
    count = len(accuracies)
    return {"seed": np.arange(count) if seeds is None else seeds, "test_accuracy": accuracies}


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_interval_covers_the_difference_and_equal_settings_seldom_differ(n):
    found = statistics.difference(*normal((2000, n), mean=0.7))
    assert np.mean((found.low <= 0.7) & (found.high >= 0.7)) == pytest.approx(0.95, abs=SLACK)
    equal = statistics.difference(*normal((2000, n), seed=1))
    assert np.mean(statistics.known(equal, equal.t_p)) < 0.05 + SLACK
    assert np.mean(equal.p <= 0.05) < 0.05 + SLACK


def test_the_difference_is_students_and_fishers():
    # Darwin's 15 pairs of maize, cross- and self-fertilised, in eighths of an inch: Fisher's own
    # example (The design of experiments, 1935): t = 2.148, and 863 of 2^15 patterns are as large.
    heights = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = statistics.difference(np.array(heights, float), np.zeros(15))
    assert found.mean / (found.deviation / 15**0.5) == pytest.approx(2.148, abs=1e-3)
    assert found.p == pytest.approx(2 * 863 / 2**15, abs=0.01)
    interval = stats.ttest_1samp(heights, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.wins == 13


def test_five_seeds_show_no_less_than_one_in_sixteen():
    found = statistics.difference(np.arange(5.0) + 1, np.zeros(5))
    assert found.p == 2 / 2**5
    assert "the least that 5 seeds can show" in statistics.figures(found)
    same = statistics.difference(np.ones(5), np.ones(5))
    assert (same.p, same.t_p) == (1, 1)


def test_holms_correction_is_that_of_his_procedure():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(statistics.holm([0.01, 0.02], family=10), [0.1, 0.18])


def test_the_best_of_many_equal_settings_beats_others_as_seldom_as_promised():
    """Corrected for the comparisons alone, as if the best were not chosen, it does so too often."""
    settings, trials, n = 20, 1000, 6
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(trials, 1, n)) + rng.normal(size=(trials, settings, n))
    best = scores.mean(-1).argmax(-1)
    found = statistics.difference(scores[np.arange(trials), best][:, None], scores)
    t_p = np.sort(found.t_p, axis=-1)[:, 0]
    assert np.mean(t_p * (settings - 1) <= 0.05) > 0.10
    pairs = settings * (settings - 1) / 2
    assert np.mean(t_p * pairs <= 0.05) < 0.05 + 3.3 * (0.0475 / trials) ** 0.5


@pytest.mark.parametrize("effect", [0.5, 1.0])
def test_as_many_seeds_as_are_said_to_be_needed_find_the_difference(effect):
    n = statistics.seeds_needed(2**0.5, effect)
    found = stats.ttest_rel(*normal((1000, n), mean=effect), axis=-1)
    assert np.mean(found.pvalue <= 0.05) == pytest.approx(0.8, abs=0.05)
    assert statistics.seeds_needed(1.0, 0.0) is None


def test_mcnemars_test_is_the_binomial_one_of_the_images_that_one_model_reads():
    a, b = np.zeros(100, bool), np.zeros(100, bool)
    a[:12], b[9:15] = True, True
    assert statistics.mcnemar(a, b) == (9, 3, stats.binomtest(3, 12).pvalue)
    assert statistics.mcnemar(a, a).p == 1
    rng = np.random.default_rng(0)
    right = rng.random((400, 2, 300)) < 0.9
    false = [statistics.mcnemar(*pair).p <= 0.05 for pair in right]
    assert np.mean(false) < 0.05 + 3.3 * (0.05 * 0.95 / 400) ** 0.5


def test_a_verdict_says_who_is_better_by_how_much_and_whether_it_is_known():
    base = np.array([0.934, 0.936, 0.935, 0.933, 0.937])
    better = base + np.array([0.004, 0.005, 0.003, 0.004, 0.006])
    found = statistics.verdict(columns(better), columns(base), names=["momentum", "sgd"])
    assert found.known
    assert found.sentence == (
        "momentum beats sgd by 0.44 points [0.30, 0.58], 5 of 5 seeds, p = 0.062 (the least that "
        "5 seeds can show)"
    )
    swapped = statistics.verdict(columns(base), columns(better), names=["sgd", "momentum"])
    assert swapped.sentence == found.sentence
    near = base + np.array([0.004, -0.003, 0.003, 0.001, -0.002])
    unknown = statistics.verdict(columns(base), columns(near), columns(base - 0.1))
    assert not unknown.known
    assert unknown.sentence.startswith("nothing is known about b and a: b is ahead by 0.06 points")
    assert "seeds in all would settle it" in unknown.sentence
    assert unknown.sentence.endswith("; b beats c")


def test_where_nothing_can_be_known_the_verdict_says_so():
    one = statistics.verdict(columns([0.9]), columns([0.8]), names=["a", "b"])
    assert not one.known
    assert "with one seed nothing is known" in one.sentence
    assert "there is one setting" in statistics.verdict(columns([0.9, 0.8])).sentence
    assert "there is no setting" in statistics.verdict().sentence
    same = statistics.verdict(columns([0.9, 0.8]), columns([0.9, 0.8]))
    assert same.sentence == "nothing is known: a and b gave the same figures"
    with pytest.raises(ValueError, match="seeds in common"):
        statistics.verdict(columns([0.9, 0.8], [0, 1]), columns([0.9, 0.8], [2, 3]))
    with pytest.raises(ValueError, match="seed 1 is there twice"):
        statistics.verdict(columns([0.9, 0.8], [1, 1]), columns([0.9, 0.8]))
