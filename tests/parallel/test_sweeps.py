"""Sweeps: many runs in one program are the runs that would be made one by one."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

from digits_jax import Config, Dataset, hyperparameters, make_training
from digits_jax.parallel import halving, sweeps
from digits_jax.parallel.mesh import make_mesh

CONFIG = Config(train_size=60, validation_size=15, hidden=(8,), epochs=4, learning_rate=1.0)


def alone(config, splits):
    """Validation loss and test loss of the run on its own."""
    training = make_training(config, splits.image_shape, splits.num_classes)
    state, _ = jax.jit(training.run)(hyperparameters(config), splits.train, splits.validation)
    evaluate = jax.jit(training.evaluate)
    return [float(evaluate(state.judged, split).loss) for split in (splits.validation, splits.test)]


def test_combinations_are_every_value_with_every_seed():
    configs = sweeps.combinations(
        CONFIG, {"learning_rate": [0.1, 1.0], "hidden": [(4,), (8,), (9, 5)]}, seeds=[3, 4]
    )
    assert len(configs) == 12
    assert len(set(configs)) == 12
    assert [config.seed for config in configs[:4]] == [3, 4, 3, 4]
    assert {config.hidden for config in configs} == {("4",), ("8",), ("9", "5")}


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({"colour": ["red"]}, "cannot vary colour: known are activation, average, batch_size"),
        ({"learning_rate": [1.0, -1.0]}, r"learning_rate=-1.0: must be"),
        ({"batch_size": [10, 61]}, "batch_size=61 is larger than train_size=60"),
        ({"seed": [1]}, "cannot vary seed"),
        ({"shards": [1, 2]}, "cannot vary shards"),
    ],
)
def test_what_cannot_run_is_an_error_before_anything_runs(varied, message):
    with pytest.raises(ValueError, match=message) as error:
        sweeps.combinations(CONFIG, varied, seeds=[0])
    assert "\n" not in str(error.value)


def test_numbers_share_a_program_and_shapes_do_not():
    varied = {
        "learning_rate": [0.1, 1.0],
        "weight_decay": [0.0, 1e-3],
        "label_smoothing": [0.0, 0.1],
        "clip_norm": [0.0, 1.0],
        "momentum": [0.5, 0.9],
        "init_scale": [0.5, 1.0],
    }
    configs = sweeps.combinations(CONFIG, varied, seeds=[0, 1])
    assert sweeps.by_program(configs) == [list(range(128))]
    structural = {"hidden": [(4,), (8,)], "batch_size": [5, 10], "epochs": [1, 2]}
    programs = sweeps.by_program(sweeps.combinations(CONFIG, structural, seeds=[0, 1, 2]))
    assert [len(program) for program in programs] == [3] * 8


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize(
    "common",
    [
        {},
        {"judge": "best", "patience": 1, "epochs": 9},
        pytest.param({"hidden": ("conv2/2", "max2")}, marks=pytest.mark.slow),
        pytest.param({"gradients": "feedback_alignment"}, marks=pytest.mark.slow),
        pytest.param({"gradients": "evolution", "directions": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_run_in_a_sweep_is_the_run_alone(splits, vectorised, common):
    """Also where one uses terms that the other does not: there they change nothing."""
    base = dataclasses.replace(CONFIG, **common)
    other = {"weight_decay": 1e-2, "clip_norm": 0.1, "label_smoothing": 0.1, "seed": 5}
    distorted = {"rotate": 10.0, "shift": 1.0, "thickness": 0.5, "fade": 0.5, "average": 0.9}
    configs = [base, dataclasses.replace(base, learning_rate=0.3, **other, **distorted)]
    program = sweeps.make_sweep(base, splits, make_mesh(sweeps.LANES, 2), vectorised)
    outcome = program(sweeps.stack(configs), np.array([1, 1]), tuple(splits)[:3])
    assert len(set(np.asarray(outcome.test_loss).tolist())) == len(configs)
    for index, config in enumerate(configs):
        validation_loss, test_loss = alone(config, splits)
        assert outcome.validation_loss[index] == pytest.approx(validation_loss, rel=1e-5)
        assert outcome.test_loss[index] == pytest.approx(test_loss, rel=1e-5)


def test_an_incomplete_last_chunk_changes_nothing(splits):
    configs = sweeps.combinations(CONFIG, {}, seeds=range(9))
    at_once = list(sweeps.sweep(configs, splits, chunk=3))
    by_four = list(sweeps.sweep(configs, splits, chunk=1))  # one run on each of four devices
    assert [indices for indices, _, _ in by_four] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    ((_, expected, _),) = at_once
    losses = np.concatenate([outcome.test_loss for _, outcome, _ in by_four])
    np.testing.assert_array_equal(losses, expected.test_loss)


def test_without_validation_images(splits):
    nothing = Dataset(splits.train.images[:0], splits.train.labels[:0])
    ((_, outcome, _),) = sweeps.sweep([CONFIG], splits._replace(validation=nothing), chunk=1)
    assert outcome.validation_errors is None
    assert outcome.test_errors.shape == (1,)


def test_a_second_sweep_of_the_same_shapes_compiles_nothing(splits, caplog):
    configs = sweeps.combinations(CONFIG, {"learning_rate": [0.5, 1.0]}, seeds=[0, 1])
    list(sweeps.sweep(configs, splits, chunk=3))
    others = sweeps.combinations(CONFIG, {"momentum": [0.1, 0.2, 0.3]}, seeds=[7])
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        list(sweeps.sweep(others, splits, chunk=3))
    assert not [line for line in caplog.messages if "ompil" in line]


def test_curves_are_the_figures_of_every_epoch(splits):
    options = {"validation_curves": True, "gradient_norms": True}
    ((_, whole, _),) = sweeps.sweep([CONFIG], splits, chunk=2, **options)
    training = make_training(CONFIG, splits.image_shape, splits.num_classes, gradient_norms=True)
    _, (metrics, scored) = jax.jit(training.run)(
        hyperparameters(CONFIG), splits.train, splits.validation
    )
    for curve, expected in zip(
        jax.tree.leaves((whole.curve, whole.validation_curve)),
        jax.tree.leaves((metrics, scored)),
        strict=True,
    ):
        np.testing.assert_allclose(curve[0], expected, rtol=1e-5)
    ((_, half, _),) = sweeps.sweep([CONFIG], splits, chunk=2, until=2, **options)
    assert (whole.epochs.tolist(), half.epochs.tolist()) == ([4], [2])
    np.testing.assert_array_equal(half.curve.loss[0, :2], whole.curve.loss[0, :2])
    assert half.train_loss[0] == whole.curve.loss[0, 1]


def test_halving_leaves_out_the_same_settings_on_any_devices_and_after_a_kill(splits):
    configs = sweeps.combinations(CONFIG, {"learning_rate": [1e-4, 1.0, 1e-3, 0.3]}, seeds=[0, 1])

    def ends(ended=None, **settings):
        trained = halving.train(configs, lambda _: splits, halving=2, ended=ended, **settings)
        return {
            run: (int(outcome.epochs[place]), float(outcome.test_loss[place]))
            for runs, outcome, _ in trained
            for place, run in enumerate(runs)
        }

    everything = ends(chunk=2)
    epochs = [everything[run][0] for run in range(8)]
    assert epochs[::2] == epochs[1::2]  # both seeds of a setting
    assert sorted(epochs[::2]) == [1, 1, 2, 4]
    assert ends(chunk=1) == everything  # as on other devices: other runs lie side by side
    best, worst = epochs.index(4), epochs.index(1)
    ((_, whole, _),) = sweeps.sweep(configs[best : best + 2], splits, chunk=2)
    np.testing.assert_array_equal(whole.test_loss, [everything[best + n][1] for n in (0, 1)])
    # One seed of a setting that was left out, and one of the best, had been written.
    before = {worst: (1, 0.2), best + 1: (4, 1.0)}
    rest = {run: end for run, end in everything.items() if run not in before}
    assert ends(ended=before, chunk=2) == rest


def test_runs_that_end_by_themselves_take_no_halving():
    configs = [dataclasses.replace(CONFIG, patience=2)]
    with pytest.raises(ValueError, match="halving=3 leaves out settings"):
        list(halving.train(configs, lambda _: None, halving=3))


def test_an_average_may_be_judged_and_numbers_of_an_optimizer_share_a_program():
    varied = {"average": [0.9, 0.99]}
    configs = sweeps.combinations(
        dataclasses.replace(CONFIG, average=0.9, judge="average"), varied, [0]
    )
    assert sweeps.by_program(configs) == [[0, 1]]
    adam = dataclasses.replace(CONFIG, optimizer="adam")
    varied = {"beta1": [0.5, 0.9], "beta2": [0.9, 0.99], "epsilon": [1e-8, 1e-3]}
    assert sweeps.by_program(sweeps.combinations(adam, varied, [0])) == [list(range(8))]
    assert len(sweeps.by_program([adam, dataclasses.replace(adam, beta1=0.5)])) == 2


@pytest.mark.slow
def test_a_chunk_fits_the_memory_that_is_free(splits):
    program = sweeps.make_sweep(CONFIG, splits, make_mesh(sweeps.LANES, 1), vectorised=True)

    def program_bytes(runs):
        numbers = sweeps.stack([CONFIG] * runs)
        lowered = program.lower(numbers, np.array([runs]), tuple(splits)[:3])
        memory = lowered.compile().memory_analysis()
        return memory.temp_size_in_bytes + memory.argument_size_in_bytes

    chunk = sweeps.fitting_chunk([CONFIG], splits, 4 << 20)
    assert 0.7 * (4 << 20) < program_bytes(chunk) <= 4 << 20
