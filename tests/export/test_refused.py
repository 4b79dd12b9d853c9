"""What cannot be exported, or would be written as something else, is refused by name."""

import jax
import numpy as np
import pytest

from digits_jax import Config, TrainedModel, layers, make_model
from digits_jax.export import Source, html, onnx
from digits_jax.export.folding import for_page
from digits_jax.models import fitted

HALVES = layers.dense(9)._replace(
    forward=lambda p, state, a, key: (p.weights @ a / 2 + p.biases[:, None], a, state)
)
MINE = layers.plain("mine", lambda shape: ((), shape), lambda p, a: 2 * a, None)
OWN = {"half9": lambda: HALVES, "mine": lambda: MINE, "nine": lambda: layers.dense(9)}


def source_of(monkeypatch, word):
    if word in OWN:
        monkeypatch.setitem(layers.WORDS, word, OWN[word])
    config = Config(hidden=(word,), activation="relu")
    model = make_model(config, (28, 28), 10)
    params = fitted(model.init(jax.random.key(0)), model.state())
    return Source("own", b"", TrainedModel(params, config, (28, 28), 10), {})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("half9", "ONNX: dense1 would be written as another function: off by"),
        ("mine", "ONNX: mine has no nodes there: export this network as stablehlo"),
    ],
)
def test_onnx_checks_what_it_wrote(monkeypatch, word, message):
    pytest.importorskip("onnx", reason="onnx is not installed")
    with pytest.raises(ValueError, match=message):
        onnx.serialise(source_of(monkeypatch, word))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("half9", "html: dense is another function on the page: off by"),
        ("mine", "html: the page cannot compute mine"),
        ("nine", "html: the page does not know the word nine"),
        ("res(conv4,bn)", "html: the page cannot compute residual: export this network as onnx"),
        ("lstm5", "html: the page cannot compute lstm: export this network as onnx or stablehlo"),
    ],
)
def test_a_page_is_of_what_its_javascript_computes(monkeypatch, word, message):
    with pytest.raises(ValueError, match=message) as error:
        html.make([source_of(monkeypatch, word)])
    assert "\n" not in str(error.value)


def test_batch_norm_becomes_part_of_the_weights_before_it(sources, splits):
    source = sources["normalised"]
    page = for_page(source)
    assert page.trained.config.hidden == ("conv4/3", "max2", "9")
    assert b"state" not in page.content[:2000]
    images = splits.test.images[:50].astype("f4") / 255
    logits = [jax.jit(s.model.apply)(s.trained.params, images) for s in (source, page)]
    np.testing.assert_allclose(*logits, atol=1e-5)
