"""What the page carries, read without a browser."""

import base64
import hashlib
import io
import json
import re
from pathlib import Path

import jax
import numpy as np
import PIL.Image
import pytest
import safetensors.numpy

from digits_jax import data, export
from digits_jax.data import Dataset
from digits_jax.export import html
from digits_jax.gradients import autodiff
from digits_jax.losses import LOSSES
from digits_jax.runs import reading

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


@pytest.fixture(scope="module")
def page(sources):
    return html.make([sources["classic"]])


def carried(page):
    """The JSON of a page, its binary parts decoded."""
    (text,) = re.findall(r'id="content">(.*?)</script>', page, re.DOTALL)
    content = json.loads(text)
    for holder in (content, *content["networks"]):
        for name in {"images", "model", "gradients"} & holder.keys():
            holder[name] = base64.b85decode(holder[name].replace(",", "<"))
    return content


def test_the_classic_page_is_shorter_than_550_kilobytes(page):
    assert len(page.encode()) < 550_000


def test_it_names_no_other_place_and_runs_nothing_but_its_own_script(page):
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    for tag, element in (("script-src", 'script type="module"'), ("style-src", "style")):
        (text,) = re.findall(f"<{element}>(.*?)</", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag} &#x27;sha256-{digest}&#x27;;" in policy
    assert policy.startswith("default-src &#x27;none&#x27;;")
    assert "unsafe" not in policy
    assert set(re.findall(r"https?://[^\s\"'`)]+", page)) == {
        "http://www.w3.org/1998/Math/MathML",  # names of languages, never asked for
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"\s(on\w+|style|src)=", page.split("<script")[0])


def test_it_carries_the_model_file_and_the_images_as_one_picture(page, sources, splits):
    content = carried(page)
    assert content["networks"][0]["model"] == sources["classic"].content
    images = np.asarray(PIL.Image.open(io.BytesIO(content["images"]))).reshape(-1, 28, 28)
    parts = [splits.test.images[:50], splits.train.images[:1000], splits.validation.images[:300]]
    np.testing.assert_array_equal(images, np.concatenate(parts))
    assert content["labels"][50:1050] == splits.train.labels[:1000].tolist()


@pytest.mark.parametrize("kind", ["classic", "tanh"])
def test_gradients_of_the_samples_are_those_of_jax(sources, splits, kind):
    source = sources[kind]
    samples = Dataset(splits.test.images[:10], splits.test.labels[:10])
    found = safetensors.numpy.load(html.sample_gradients(source, samples))
    value_and_grad = jax.jit(autodiff(source.model, LOSSES[source.trained.config.loss]))
    image, label = samples.images[3:4].astype("f4") / 255, samples.labels[3:4]
    grads = filter(None, value_and_grad(source.trained.params, image, label)[1])
    for l, p in enumerate(grads):
        biases, weights = found[f"layers.{l}.biases"][3], found.get(f"layers.{l}.weights")
        np.testing.assert_allclose(biases, p.biases, rtol=1e-4, atol=1e-7)
        if weights is None:
            a = found[f"layers.{l}.inputs"][3] if l else image.ravel()
            weights = {3: np.outer(biases, a)}
        np.testing.assert_allclose(weights[3], p.weights, rtol=1e-4, atol=1e-7)


def test_below_the_threshold_more_answers_are_wrong_than_right(sources):
    held_out = data.load(train_size=1_000, validation_size=500).validation
    source = sources["classic"]  # untrained: right by chance alone
    limit = html.threshold(source, held_out)
    predictions = reading.predict(source.trained, held_out)
    kept_back = predictions.confidence <= limit
    right = predictions.correct[kept_back].sum()
    assert kept_back.sum() > 400
    assert right < kept_back.sum() / 2
    # Where every answer is right none is kept back.
    sure = Dataset(held_out.images, predictions.predicted.astype(np.int32))
    assert html.threshold(source, sure) == 0


def test_networks_for_different_images_have_no_page(sources):
    source = sources["classic"]
    other = source._replace(name="other", trained=source.trained._replace(image_shape=(5, 7)))
    with pytest.raises(ValueError, match="other and classic are for different images"):
        html.make([source, other])


def test_the_page_in_the_repository_is_what_the_package_writes_now():
    """Its scripts, its style and its network; the gradients are rounded as the machine rounds."""
    kept = (RECORDS / "digits.html").read_text("utf-8")
    source = export.read(export.shipped("cnn"))
    now = html.make([source], counts=html.FEW)
    for pattern in (
        r'<script type="module">(.*?)</script>',
        "<style>(.*?)</style>",
        "<body>(.*?)<script",
    ):
        assert re.search(pattern, kept, re.DOTALL)[1] == re.search(pattern, now, re.DOTALL)[1]
    assert carried(kept)["networks"][0]["model"] == carried(now)["networks"][0]["model"]
