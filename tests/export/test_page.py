"""The page in a real browser: its arithmetic against JAX, its controls as a reader uses them."""

import jax
import numpy as np
import pytest

from digits_jax.export import html
from digits_jax.gradients import autodiff
from digits_jax.losses import LOSSES
from digits_jax.runs.model_file import tensor_names

KINDS = ("classic", "tanh", "relu", "gelu", "silu")
PREDICT = "([images, index]) => images.map((image) => digits.predict(image, index))"
GRADIENT = "([image, label, index]) => digits.gradient(image, label, index)"


@pytest.fixture(scope="module")
def file(tmp_path_factory, sources):
    """The page of one network of every kind of layer."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html.make(list(sources.values())), "utf-8")
    return path


@pytest.fixture(scope="module")
def page(open_page, file):
    return open_page(file)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_jax(page, sources, splits, kind):
    images, model = splits.test.images[:200], sources[kind].model
    expected = jax.jit(model.apply)(sources[kind].trained.params, images.astype("f4") / 255)
    found = page.evaluate(PREDICT, [images.reshape(200, -1).tolist(), KINDS.index(kind)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_jax(page, sources, splits, kind):
    source = sources[kind]
    images, labels = splits.test.images[:5], splits.test.labels[:5]
    value_and_grad = jax.jit(autodiff(source.model, LOSSES[source.trained.config.loss]))
    for image, label in zip(images, labels, strict=True):
        _, grads = value_and_grad(
            source.trained.params, image[None].astype("f4") / 255, label[None]
        )
        arguments = [image.ravel().tolist(), int(label), KINDS.index(kind)]
        found = page.evaluate(GRADIENT, arguments)
        assert list(found) == tensor_names(grads)
        for (name, values), expected in zip(found.items(), jax.tree.leaves(grads), strict=True):
            size = abs(np.asarray(expected)).max()
            assert size > 0, name
            np.testing.assert_allclose(
                values, np.ravel(expected), rtol=0, atol=1e-4 * size, err_msg=name
            )
