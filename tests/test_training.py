"""Training: steps, epochs and runs as pure functions, each a single program."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, data, hyperparameters, make_training
from digits_jax.gradients import autodiff
from digits_jax.losses import LOSSES
from digits_jax.training import shuffle
from experiments.peers import numpy_backprop

SMALL = Config(
    train_size=40, validation_size=0, hidden=(6,), batch_size=10, epochs=3, learning_rate=0.5
)


@pytest.fixture
def digits(tiny_split):
    images, labels = tiny_split(40)
    return Dataset(jnp.asarray(images), jnp.asarray(labels, jnp.int32))


@pytest.fixture
def training():
    return make_training(SMALL, (5, 7), 3)


def affine_layers(params):
    """The weights and biases of the layers that have them, in float64."""
    return [
        (np.asarray(p.weights, np.float64), np.asarray(p.biases, np.float64)) for p in params if p
    ]


def assert_same(actual, expected):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        np.testing.assert_array_equal(a, e)


def test_a_step_is_the_update_that_numpy_makes(digits, training):
    numbers = hyperparameters(SMALL)
    state = training.init(numbers)
    batch = Dataset(digits.images[:10], digits.labels[:10])
    after, metrics = training.train_step(numbers, state, batch)
    layers = affine_layers(state.params)
    loss, gradient = numpy_backprop.value_and_grad(
        layers, np.asarray(batch.images) / 255, np.asarray(batch.labels), "sigmoid", "quadratic"
    )
    assert metrics.loss == pytest.approx(loss, rel=1e-6)
    for layer, (weights, biases), (dw, db) in zip(
        filter(None, after.params), layers, gradient, strict=True
    ):
        np.testing.assert_allclose(layer.weights, weights - 0.5 * dw, atol=1e-7)
        np.testing.assert_allclose(layer.biases, biases - 0.5 * db, atol=1e-7)
    assert after.step == 1


def test_gradient_norms_are_those_of_the_gradient_that_numpy_makes(digits):
    config = dataclasses.replace(SMALL, batch_size=20, learning_rate=0.0)  # the mean of two batches
    training = make_training(config, (5, 7), 3, gradient_norms=True)
    numbers = hyperparameters(config)
    state = training.init(numbers)
    layers = affine_layers(state.params)
    _, metrics = training.epoch(numbers, state, digits)
    rows = shuffle(jax.random.fold_in(state.key, 0), 40).reshape(2, 20)
    expected = np.zeros(2)
    for batch in rows:
        _, gradient = numpy_backprop.value_and_grad(
            layers,
            np.asarray(digits.images[batch]) / 255,
            np.asarray(digits.labels[batch]),
            "sigmoid",
            "quadratic",
        )
        expected += [np.hypot(np.linalg.norm(dw), np.linalg.norm(db)) / 2 for dw, db in gradient]
    np.testing.assert_allclose(metrics.gradient_norms, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "loss": "cross_entropy", "activation": "relu", "clip_norm": 0.1},
    ],
)
def test_gradient_norms_do_not_change_the_training(digits, settings):
    config = dataclasses.replace(SMALL, **settings)
    numbers = hyperparameters(config)
    plain, observed = (
        make_training(config, (5, 7), 3),
        make_training(config, (5, 7), 3, gradient_norms=True),
    )
    state, metrics = jax.jit(plain.epoch)(numbers, plain.init(numbers), digits)
    same_state, same_metrics = jax.jit(observed.epoch)(numbers, plain.init(numbers), digits)
    assert_same(state, same_state)
    assert_same(metrics, same_metrics._replace(gradient_norms=None))


@pytest.mark.parametrize("batch_size", [1, 10, 40])
def test_an_epoch_takes_every_image_once(digits, batch_size):
    # With learning rate 0 the mean over the batches is the mean over the whole split.
    config = dataclasses.replace(SMALL, learning_rate=0.0, batch_size=batch_size)
    training = make_training(config, (5, 7), 3)
    numbers = hyperparameters(config)
    state, metrics = jax.jit(training.epoch)(numbers, training.init(numbers), digits)
    whole = training.evaluate(state.params, digits)
    assert metrics.loss == pytest.approx(float(whole.loss), rel=1e-6)
    assert metrics.accuracy == pytest.approx(float(whole.accuracy), rel=1e-6)
    assert state.step == 40 // batch_size


def test_an_order_holds_every_image_once_and_favours_none():
    orders = jax.vmap(lambda key: shuffle(key, 5))(jax.random.split(jax.random.key(0), 12_000))
    np.testing.assert_array_equal(jnp.sort(orders, axis=1), np.tile(np.arange(5), (12_000, 1)))
    _, counts = np.unique(np.asarray(orders), axis=0, return_counts=True)
    # 120 orders, 100 of each expected: chi-squared with 119 degrees of freedom, 99.99 % quantile.
    assert len(counts) == 120
    assert np.sum((counts - 100) ** 2 / 100) < 184


@pytest.mark.parametrize("count", [1, 2, 39, 10_000, 65_536, 65_537])
def test_an_order_is_that_of_random_numbers(count):
    key = jax.random.key(count)
    order = np.argsort(np.asarray(jax.random.bits(key, (count,))), kind="stable")
    np.testing.assert_array_equal(shuffle(key, count), order)


def test_epochs_are_shuffled_anew_and_seeds_differ(digits, training):
    config = dataclasses.replace(SMALL, learning_rate=0.0, batch_size=39)
    training = make_training(config, (5, 7), 3)
    epoch = jax.jit(training.epoch)
    numbers = hyperparameters(config)
    state = training.init(numbers)
    losses = []
    for _ in range(5):  # each epoch leaves out another image, so that its loss differs
        state, metrics = epoch(numbers, state, digits)
        losses.append(float(metrics.loss))
    assert len(set(losses)) > 1
    other = training.init(numbers._replace(seed=np.uint32(1)))
    assert not jnp.array_equal(other.params[1].weights, state.params[1].weights)


def test_a_run_is_its_epochs_one_after_another(digits, training):
    numbers = hyperparameters(SMALL)
    epoch = jax.jit(training.epoch)
    state = jax.jit(training.init)(numbers)
    losses = []
    for _ in range(SMALL.epochs):
        state, metrics = epoch(numbers, state, digits)
        losses.append(metrics.loss)
    at_once, (history, scored) = jax.jit(training.run)(numbers, digits, digits)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-6)
    for one, other in zip(
        jax.tree.leaves(at_once.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert scored.errors[-1] == training.evaluate(at_once.params, digits).errors


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_epoch_of_fewest_validation_errors_is_judged_and_patience_ends_a_run(digits, average):
    """Where validation labels are drawn at random, errors go up and down."""
    drawn = np.random.default_rng(2).integers(0, 3, 40).astype(np.int32)
    validation = digits._replace(labels=jnp.asarray(drawn))
    best, patience = Config(**vars(SMALL) | {"judge": "best"} | {"validation_size": 40}), 4
    best = dataclasses.replace(best, epochs=12, average=average, learning_rate=1.0)
    training = make_training(best, (5, 7), 3)
    numbers, state = hyperparameters(best), training.init(hyperparameters(best))
    epoch, passed, errors = jax.jit(training.epoch), [], []
    for _ in range(best.epochs):
        state, _ = epoch(numbers, state, digits)
        passed.append(state.average if average else state.params)
        logits = training.model.apply(passed[-1], validation.images / 255)
        errors.append(int((np.asarray(logits).argmax(-1) != drawn).sum()))
    first = errors.index(min(errors))
    assert 0 < first < best.epochs - 1
    state, (_, scored) = jax.jit(training.run)(numbers, digits, validation)
    np.testing.assert_array_equal(scored.errors, errors)
    assert (state.best.epoch, state.best.errors) == (first + 1, min(errors))
    np.testing.assert_allclose(state.judged[1].weights, passed[first][1].weights, atol=1e-4)

    until = next(
        last for last in range(patience, 13) if min(errors[:last]) in errors[: last - patience]
    )
    patient = dataclasses.replace(best, judge="auto", patience=patience, epochs=30)
    training = make_training(patient, (5, 7), 3)
    state, (history, scored) = jax.jit(training.run)(numbers, digits, validation)
    assert state.step == until * patient.steps_per_epoch
    np.testing.assert_array_equal(
        scored.errors, errors[:until] + [errors[until - 1]] * (30 - until)
    )
    assert len(set(history.loss.tolist())) == until
    np.testing.assert_allclose(state.judged[1].weights, passed[until - 1][1].weights, atol=1e-4)


def test_the_last_parameters_are_judged_where_asked_for_whatever_the_average():
    for judge, kept in {"auto": True, "average": True, "last": False}.items():
        config = dataclasses.replace(SMALL, average=0.9, judge=judge)
        state = make_training(config, (5, 7), 3).init(hyperparameters(config))
        assert (state.average is not None) == kept


def test_numbers_of_a_config_share_one_program(digits, training):
    run = jax.jit(training.run)
    for seed, rate in [(0, 0.1), (1, 0.1), (2, 3.0)]:
        config = dataclasses.replace(SMALL, seed=seed, learning_rate=rate)
        run(hyperparameters(config), digits, digits)
    assert run._cache_size() == 1


def test_a_sweep_is_a_vmap_over_hyperparameters(digits, training):
    numbers = hyperparameters(SMALL)
    rates = jnp.array([0.1, 0.5])
    axes = jax.tree.map(lambda _: None, numbers)._replace(learning_rate=0)
    run = jax.vmap(training.run, in_axes=(axes, None, None))
    _, (history, _) = jax.jit(run)(numbers._replace(learning_rate=rates), digits, digits)
    _, (alone, _) = jax.jit(training.run)(numbers, digits, digits)
    np.testing.assert_allclose(history.loss[1], alone.loss, rtol=1e-5)
    assert history.loss[0, -1] != history.loss[1, -1]


def test_the_accuracy_of_a_step_costs_no_second_forward_pass():
    config = Config()
    splits = data.load()
    training = make_training(config, splits.image_shape, splits.num_classes)
    batch = Dataset(splits.train.images[:10], splits.train.labels[:10])
    numbers = hyperparameters(config)
    state = jax.eval_shape(training.init, numbers)
    images = jnp.zeros((10, 28, 28))

    def flops(function, *arguments):
        return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]

    gradient = flops(
        autodiff(training.model, LOSSES["quadratic"]), state.params, images, batch.labels
    )
    assert flops(training.train_step, numbers, state, batch) < 1.1 * gradient


@pytest.mark.parametrize(
    ("optimizer", "gradients"),
    [
        ("sgd", "autodiff"),
        ("nesterov", "manual"),
        ("adamw", "autodiff"),
        ("lion", "manual"),
        ("muon", "autodiff"),
    ],
)
def test_every_optimizer_learns(digits, optimizer, gradients):
    rates = {"sgd": 3.0, "nesterov": 0.5, "adamw": 0.05, "lion": 0.01, "muon": 0.05}
    rate = rates[optimizer]
    config = dataclasses.replace(
        SMALL,
        optimizer=optimizer,
        gradients=gradients,
        learning_rate=rate,
        epochs=20,
        schedule="warmup_cosine",
        weight_decay=1e-4,
        label_smoothing=0.01,
        clip_norm=5.0,
    )
    training = make_training(config, (5, 7), 3)
    state, (history, _) = jax.jit(training.run)(hyperparameters(config), digits, digits)
    assert history.learning_rate[-1] < 0.05 * rate
    assert training.evaluate(state.params, digits).accuracy == 1.0


def test_the_running_mean_weighs_the_parameters_of_every_step(digits):
    config = dataclasses.replace(SMALL, average=0.8)
    training = make_training(config, (5, 7), 3)
    numbers = hyperparameters(config)
    step, state = jax.jit(training.train_step), training.init(numbers)
    passed = []
    for start in (0, 10, 20, 30):
        batch = Dataset(digits.images[start : start + 10], digits.labels[start : start + 10])
        state, _ = step(numbers, state, batch)
        passed.append(np.asarray(state.params[1].weights, np.float64))
        weights = 0.8 ** np.arange(len(passed))[::-1]
        mean = np.tensordot(weights / weights.sum(), passed, axes=1)
        np.testing.assert_allclose(state.judged[1].weights, mean, atol=1e-6)
    assert training.init(hyperparameters(SMALL)).average is None


def test_every_step_distorts_its_images_anew(digits):
    config = dataclasses.replace(SMALL, learning_rate=0.0, batch_size=40, rotate=30.0)
    training = make_training(config, (5, 7), 3)
    numbers = hyperparameters(config)
    step, state = jax.jit(training.train_step), training.init(numbers)
    losses = []
    for _ in range(4):
        state, metrics = step(numbers, state, digits)
        losses.append(float(metrics.loss))
    assert len(set(losses)) == 4
    assert float(step(numbers, training.init(numbers), digits)[1].loss) == losses[0]
