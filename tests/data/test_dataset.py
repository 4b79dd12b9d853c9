"""Images and labels of one's own: what is no data set is refused where it comes in."""

import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax import Config, Dataset, Splits, hyperparameters, make_training


@pytest.fixture
def train_set(splits):
    return splits.train


@pytest.fixture
def training():
    return make_training(Config(train_size=60, hidden=(4,), epochs=2), (5, 7), 3)


@pytest.mark.parametrize("put", [np.asarray, jnp.asarray])
def test_what_is_no_grey_level_or_no_class_is_refused(train_set, put):
    images, labels = train_set
    for wrong in (images / np.float32(255), images.reshape(60, 35)):
        with pytest.raises(ValueError, match="expected grey levels 0 to 255 as uint8"):
            Dataset(put(wrong), put(labels))
    for wrong in (labels.astype(np.float32), np.eye(3, dtype=np.int32)[labels], labels[:-1]):
        with pytest.raises(ValueError, match=r"expected a class .* one for each image \(60,\)"):
            Dataset(put(images), put(wrong))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_beyond_the_classes_is_refused(training, train_set, wrong):
    images, labels = train_set
    odd = Dataset(images, np.where(labels == 1, wrong, labels).astype(np.int32))
    with pytest.raises(ValueError, match=f"test label {wrong} is not among the 3 classes, 0 to 2"):
        Splits(train_set, train_set, odd, num_classes=3)
    with pytest.raises(ValueError, match=f"label {wrong} is not among the 3 classes"):
        training.run(hyperparameters(Config()), odd, None)


def test_evaluation_refuses_labels_beyond_the_classes(training, train_set):
    state = training.init(hyperparameters(Config()))
    with pytest.raises(ValueError, match="label 3 is not among the 3 classes"):
        training.evaluate(state.params, train_set._replace(labels=train_set.labels + 1))


def test_a_run_takes_arrays_of_numpy_without_jit(training, train_set):
    numbers = hyperparameters(Config())
    state, _ = training.run(numbers, train_set, train_set)
    placed = Dataset(*map(jnp.asarray, train_set))
    again, _ = training.run(numbers, placed, placed)
    assert state.step == 12
    np.testing.assert_array_equal(state.params[-1].weights, again.params[-1].weights)
