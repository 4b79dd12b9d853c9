"""Layers with state and random numbers, in whole runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, hyperparameters, make_training
from digits_jax.models import Fitted

CONFIG = Config(
    train_size=60,
    hidden=("conv4/2,bn,dropout25,lstm6,last",),
    batch_size=20,
    epochs=2,
    loss="cross_entropy",
    gradients="manual",
    average=0.8,
    judge="average",
)


@pytest.fixture(scope="module")
def training():
    return make_training(CONFIG, (5, 7), 3)


@pytest.fixture
def digits(tiny_split):
    images, labels = tiny_split(60)
    return Dataset(jnp.asarray(images), jnp.asarray(labels, jnp.int32))


def test_runs_side_by_side_are_as_each_alone(training, digits):
    numbers = hyperparameters(CONFIG)
    seeds = jnp.arange(2, dtype=jnp.uint32)

    @jax.jit
    def both(seeds):
        def run(seed):
            own = jax.tree.map(jnp.asarray, numbers._replace(seed=seed))
            state, _ = training.run(own, digits)
            return state.judged, state.network

        return jax.vmap(run)(seeds), jax.lax.map(run, seeds)

    together, alone = map(jax.tree.leaves, both(seeds))
    assert max(float(jnp.abs(leaf[0] - leaf[1]).max()) for leaf in alone) > 0.01  # by seed
    for actual, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)


def test_the_average_is_of_running_statistics_as_well(training, digits):
    numbers = hyperparameters(CONFIG)
    state = training.init(numbers)
    step = jax.jit(training.train_step)
    seen = []
    for _ in range(4):
        state, _ = step(numbers, state, jax.tree.map(lambda array: array[:20], digits))
        seen.append(Fitted(state.params, state.network))
    weights = 0.8 ** np.arange(4)[::-1] * 0.2 / (1 - 0.8**4)
    expected = jax.tree.map(lambda *each: jnp.tensordot(weights, jnp.stack(each), 1), *seen)
    for actual, mean in zip(jax.tree.leaves(state.judged), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(actual, mean, rtol=1e-5, atol=1e-6)
    statistics = jax.tree.leaves(state.network)
    assert len(statistics) == 2
    assert not np.allclose(statistics[0], jax.tree.leaves(state.judged.state)[0])


def test_without_its_statistics_a_network_is_not_evaluated(training):
    params = training.model.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"running statistics: apply Fitted\(params, state\)"):
        training.model.apply(params, jnp.zeros((1, 5, 7)))


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_feedback_through_recurrence_is_refused_at_the_start(name, digits):
    training = make_training(Config(hidden=("lstm6,last",), gradients=name), (5, 7), 3)
    numbers = hyperparameters(CONFIG)
    with pytest.raises(ValueError, match="random weights is not defined through lstm: train"):
        jax.eval_shape(training.train_step, numbers, training.init(numbers), digits)
