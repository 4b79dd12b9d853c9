"""Estimates of the gradient compared: the choice of rates, runs and their angles, the record."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from digits_jax import Config, hyperparameters, make_training
from digits_jax.estimators import ESTIMATORS
from experiments.comparison import estimators, estimators_report
from experiments.comparison.estimators import Found

CONFIG = Config(train_size=60, hidden=("7",), batch_size=6, epochs=3, learning_rate=0.3)


@pytest.fixture(scope="module")
def watched(splits):
    return splits._replace(validation=splits.test)


@pytest.mark.parametrize("best", [0.0001, 0.1, 31.0])
@pytest.mark.parametrize("method", ["autodiff", "evolution"])
def test_the_best_rate_lies_between_worse_ones_wherever_it_is(watched, monkeypatch, best, method):
    tried = []

    def sweep(configs, splits):
        for start in range(0, len(configs), 4):  # chunks that cut a rate's seeds apart
            rates = np.array([config.learning_rate for config in configs[start : start + 4]])
            tried.extend(rates)
            errors = np.abs(np.log(rates / best)) + [c.seed for c in configs[start : start + 4]]
            outcome = types.SimpleNamespace(validation_errors=errors, test_errors=40 * rates)
            yield list(range(start, start + len(rates))), outcome, 0.0

    monkeypatch.setattr(estimators.sweeps, "sweep", sweep)
    config = dataclasses.replace(CONFIG, gradients=method)
    rate, test = estimators.choose(config, watched, range(3))
    assert abs(np.log10(rate / best)) < 0.26
    assert min(tried) < rate < max(tried)
    np.testing.assert_allclose(test, [1 - rate] * 3)


@pytest.mark.parametrize(
    "method",
    [
        "feedback_alignment",
        pytest.param("autodiff", marks=pytest.mark.slow),
        pytest.param("forward_gradient", marks=pytest.mark.slow),
    ],
)
def test_a_course_is_the_run_with_looks_at_its_angle(watched, method):
    config = dataclasses.replace(CONFIG, gradients=method)
    validation, steps, angles = estimators.courses(config, watched, range(2))
    training = make_training(config, watched.image_shape, watched.num_classes)
    for seed in range(2):
        numbers = hyperparameters(dataclasses.replace(config, seed=seed))
        _, (_, scored) = jax.jit(training.run)(numbers, watched.train, watched.validation)
        np.testing.assert_allclose(validation[seed], scored.accuracy, atol=1e-6)
    np.testing.assert_array_equal(steps, range(30))
    assert angles.shape == (2, 30)
    if method == "autodiff":
        assert angles.max() < 0.1
    else:
        assert angles.min() > 1
    # With one hidden layer of 7 * 13 parameters chance is within 15 degrees or so of a right angle.
    assert method != "forward_gradient" or abs(angles.mean() - 90) < 10


@pytest.mark.parametrize(
    "networks",
    [
        pytest.param(["784-30-10"], marks=pytest.mark.slow),
        ["784-30-10", "784-9-10", "28x28-conv8x5/2-10"],
    ],
)
def test_the_answer_takes_ten_lines_and_figures_little_space(networks):
    rng = np.random.default_rng(0)
    found = [
        Found(
            network,
            method,
            0.1,
            rng.uniform(0.9, 0.95, 5),
            rng.uniform(0.1, 0.95, (5, 10)),
            np.arange(0, 10_000, 20),
            rng.uniform(20, 100, (5, 500)),
            1e-4,
            1e6,
            1000,
        )
        for network in networks
        for method in ("autodiff", *ESTIMATORS)
    ]
    lines = estimators_report.answer(found)
    assert len(lines) == 6
    assert all(len(line.split(" at ")) == len(networks) + 1 for line in lines[1:])
    pictures = estimators_report.draw(found)
    text = estimators_report.markdown(found, "by a command", {"angle": "angle.png"})
    assert text.count("| 784-30-10 |") == 5
    assert "![angle](angle.png)" in text
    assert set(ESTIMATORS) < set(estimators_report.KNOWN)
    for picture in pictures.values():
        assert len(picture) < 200_000
