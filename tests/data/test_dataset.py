"""Images and labels of one's own: what is no data set is refused where it comes in."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from digits_jax import Config, Dataset, Splits, data, hyperparameters, make_training


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


@pytest.mark.parametrize("shape", [(7, 5), (8, 8), (35,)])
def test_images_of_another_size_are_refused_wherever_they_come_in(training, train_set, shape):
    numbers, count = hyperparameters(Config()), len(train_set.labels)
    state = training.init(numbers)
    images = jnp.zeros((count, *shape), jnp.uint8)
    with pytest.raises((ValueError, TypeCheckError)):
        training.model.apply(state.params, images / 255)
    if len(shape) == 2:
        other = Dataset(images, jnp.asarray(train_set.labels))
        for use in (
            lambda: training.epoch(numbers, state, other),
            lambda: training.evaluate(state.params, other),
        ):
            with pytest.raises(ValueError, match=r"the network is for \(5, 7\)"):
                use()


def test_splits_have_one_size_and_a_whole_number_of_classes(train_set):
    other = Dataset(train_set.images[:, :4], train_set.labels)
    with pytest.raises(ValueError, match=r"training images are \(5, 7\) pixels, test images"):
        Splits(train_set, train_set, other, num_classes=3)
    for classes in (0, 3.0, None):
        with pytest.raises(ValueError, match="expected a whole number above 0"):
            Splits(train_set, train_set, train_set, num_classes=classes)


def test_a_run_has_the_images_of_its_config_and_may_have_none_for_validation(training, train_set):
    numbers = hyperparameters(Config())
    few = Dataset(train_set.images[:50], train_set.labels[:50])
    with pytest.raises(ValueError, match="50 training images, and train_size=60"):
        training.run(numbers, few, None)
    empty = Dataset(train_set.images[:0], train_set.labels[:0])
    _, (_, validation) = training.run(numbers, train_set, empty)
    assert validation is None
    with pytest.raises(ValueError, match="no images to score"):
        training.evaluate(training.init(numbers).params, empty)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_size": 0}, "train_size=0: expected a whole number of at least 1"),
        ({"validation_size": -1}, "validation_size=-1: expected a whole number of at least 0"),
        ({"label_noise": 1.5}, "label_noise=1.5: expected a number of at least 0, at most 1"),
        ({"image_size": 10**9}, "image_size=1000000000: expected .* at most 4096"),
        ({"data_dir": ""}, "data_dir is empty"),
        ({"dataset": "minst"}, "unknown dataset 'minst'"),
        ({"dataset": ""}, "unknown dataset ''"),
    ],
)
def test_load_refuses_arguments_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        data.load(**settings)
