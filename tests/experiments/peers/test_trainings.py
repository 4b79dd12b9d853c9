"""The peers of the benchmark train what they say they train."""

import itertools

import jax
import numpy as np
import pytest

from digits_jax import data
from experiments.peers import classic, numpy_training, numpy_vectorised

STEPS = 30


@pytest.fixture(scope="module")
def mnist():
    return classic.load()


def plain(layers, mnist, order, batch_size):
    """The same steps in the plain form, which is tested image by image."""
    for first in range(0, STEPS * batch_size, batch_size):
        rows = order[first : first + batch_size]
        images = mnist.images[rows].astype(np.float32) / 255
        _, gradient = numpy_vectorised.value_and_grad(
            layers, images, mnist.labels[rows], "sigmoid", "quadratic"
        )
        rate = np.float32(3.0)
        layers = [
            (w - rate * dw, b - rate * db)
            for (w, b), (dw, db) in zip(layers, gradient, strict=True)
        ]
    return layers


def assert_close(layers, expected):
    for array, other in zip(itertools.chain(*layers), itertools.chain(*expected), strict=True):
        assert array.shape == other.shape
        assert array.dtype == other.dtype == np.float32
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-5)


def test_their_data_are_those_of_the_classic_run(mnist):
    splits = data.load("mnist")
    for images, labels, dataset in (
        (mnist.images, mnist.labels, splits.train),
        (mnist.test_images, mnist.test_labels, splits.test),
    ):
        np.testing.assert_array_equal(images, dataset.images.reshape(-1, 784))
        np.testing.assert_array_equal(labels, dataset.labels)


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("rows", ["uint8", "float32"])
@pytest.mark.parametrize("layout", ["out, in", "in, out"])
def test_numpy_in_place_makes_the_plain_steps(mnist, layout, rows, batch_size):
    training = numpy_training.make_training(mnist, batch_size, layout, rows)
    training.start(7)
    initial = training.parameters()
    assert initial[0][0].std() == pytest.approx(784**-0.5, rel=0.02)
    training.train(STEPS)
    order = np.random.default_rng(8).permutation(classic.TRAIN_SIZE)
    assert_close(training.parameters(), plain(initial, mnist, order, batch_size))


def torch_form_steps(mnist, **form):
    torch = pytest.importorskip("torch", reason="a peer that is not installed")
    from experiments.peers import torch_training

    training = torch_training.make_training(mnist, 10, **form)
    training.start(7)
    initial = training.parameters()
    generator = torch.Generator().manual_seed(7)
    for weights, _ in initial:  # draws what was drawn
        torch.zeros(weights.shape).normal_(0, 1, generator=generator)
    order = torch.randperm(classic.TRAIN_SIZE, generator=generator).numpy()
    training.train(STEPS)
    assert_close(training.parameters(), plain(initial, mnist, order, 10))


@pytest.mark.parametrize("rows", ["uint8", "float32"])
def test_pytorch_eager_makes_the_plain_steps(mnist, rows):
    torch_form_steps(mnist, update="eager", rows=rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's of its own functions
@pytest.mark.parametrize("rows", ["uint8", "float32"])
def test_torch_compile_makes_the_plain_steps(mnist, rows):
    torch_form_steps(mnist, update="compiled", rows=rows)


def test_an_epoch_learns_and_the_next_takes_another_order(mnist):
    training = numpy_training.make_training(mnist, 10)
    training.start(0)
    assert training.accuracy() < 0.3
    training.train(1_000)
    first = training.parameters()
    assert training.accuracy() > 0.85
    training.start(0)
    training.train(1_000)
    np.testing.assert_array_equal(training.parameters()[0][0], first[0][0])
    training.train(1_000)
    other = training.parameters()[0][0]
    training.start(0)
    training.train(2_000 - 1_000)
    assert not np.array_equal(training.parameters()[0][0], other)


def test_scikit_learn_trains_the_same_network(mnist):
    pytest.importorskip("sklearn", reason="a peer that is not installed")
    from experiments.peers import sklearn_training

    training = sklearn_training.make_training(mnist, 10)
    training.start(0)
    training.train(1_000)
    shapes = [array.shape for layer in training.parameters() for array in layer]
    assert shapes == [(30, 784), (30,), (10, 30), (10,)]
    assert training.accuracy() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("form", ["contiguous", "channels_last"])
def test_the_convolutional_network_is_that_of_the_recipe_and_learns(mnist, form):
    pytest.importorskip("torch", reason="a peer that is not installed")
    from digits_jax.config import Config, hyperparameters
    from digits_jax.training import make_training
    from experiments.benchmarks.cases import CONVOLUTIONAL
    from experiments.peers import torch_cnn

    config = Config(**CONVOLUTIONAL)
    ours = jax.eval_shape(make_training(config, (28, 28), 10).init, hyperparameters(config)).params
    training = torch_cnn.make_training(mnist, 64, form)
    training.start(0)
    theirs = [a.size for layer in training.parameters() for a in layer]
    assert theirs == [a.size for a in jax.tree.leaves(ours)]
    training.train(60)
    assert training.accuracy() > 0.85
