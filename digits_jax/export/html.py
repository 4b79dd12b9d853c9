"""A trained model as one HTML page: draw a digit, look inside, learn step by step."""

import base64
import dataclasses
import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Array, Float, Num, UInt8

from digits_jax import data
from digits_jax.data.dataset import Dataset, Splits
from digits_jax.evaluation import scale_pixels
from digits_jax.export.folding import for_page
from digits_jax.export.source import Source
from digits_jax.gradients import autodiff
from digits_jax.losses import LOSSES
from digits_jax.models import Params, describe, with_inputs
from digits_jax.runs import reading

FOLDER = Path(__file__).parent / "page"
# In the order in which they use each other.
SCRIPTS = (
    "tensors activations layers losses network files normalise elements mathematics pictures "
    "draw pieces photo answer inside learn weight train "
    "lessons main"
)
# Images that a reader can pick, train on, and that are held out.
SAMPLES, TRAIN, HELD_OUT = 50, 1000, 300
# Of the page of a network that comes with the package, which is to be a small file.
FEW = (50, 350, 150)
# What jax.grad gave for the samples takes no more bytes than this.
GRADIENT_BYTES = 100_000


def make(
    sources: Sequence[Source],
    data_dir: str | os.PathLike[str] | None = None,
    counts: tuple[int, int, int] = (SAMPLES, TRAIN, HELD_OUT),
) -> str:
    """The page of one network, or of several side by side; the images are those of the first.

    Args:
        sources: the networks.
        data_dir: where the images are now, if they have moved.
        counts: how many images a reader can pick, train on, and hold out.

    Raises:
        ValueError: in one line, where the page cannot compute a network, networks are for
            different images, or the data are not at hand.
        OSError: where a file of the data cannot be read.
    """
    first = sources[0]
    for source in sources[1:]:
        if source.made_for != first.made_for:
            raise ValueError(f"{source.name} and {first.name} are for different images")
    sources = [for_page(source) for source in sources]
    first = sources[0]
    moved = {} if data_dir is None else {"data_dir": data_dir}
    splits = data.load(**first.trained.config.data_settings | moved)
    if (splits.image_shape, splits.num_classes) != first.made_for:
        raise ValueError(f"{first.name}: is for other images than its data set now holds")
    picked, trained, kept = counts
    # Where nothing was kept for validation, the end of the test file is held out.
    held_out = splits.validation if len(splits.validation.labels) else _last(splits.test, kept)
    parts = [_first(splits.test, picked), _first(splits.train, trained), _first(held_out, kept)]
    samples = parts[0]
    content = {
        "class_names": splits.class_names,
        "image_shape": splits.image_shape,
        "digits": splits.class_names == tuple("0123456789") and splits.image_shape == (28, 28),
        "networks": [_network(source, splits, samples) for source in sources],
        "sizes": [len(part.labels) for part in parts],
        "labels": np.concatenate([part.labels for part in parts]).tolist(),
        "images": _text(png(np.concatenate([part.images for part in parts]))),
    }
    script = "\n".join(_short(f"{name}.js") for name in SCRIPTS.split())
    style = _short("page.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template((FOLDER / "page.html").read_text("utf-8")).substitute(
        policy=escape(policy),
        title=escape(" and ".join(source.name for source in sources)),
        style=style,
        script=script,
        # No name in it can end the element that holds it.
        content=json.dumps(content).replace("<", "\\u003c"),
    )


def _network(source: Source, splits: Splits, samples: Dataset) -> dict[str, Any]:
    config, held_out = source.trained.config, splits.validation
    return {
        "name": source.name,
        "description": describe(config.hidden, *source.made_for),
        "config": dataclasses.asdict(config),
        "test_accuracy": source.summary.get("test_accuracy"),
        # Without images to find it on: what it is where probabilities are what they say.
        "threshold": threshold(source, held_out) if len(held_out.labels) else 0.5,
        "model": _text(source.content),
        "gradients": _text(sample_gradients(source, samples)),
    }


def threshold(source: Source, held_out: Dataset) -> float:
    """The probability below which more of the answers to held-out images are wrong than right."""
    predictions = reading.predict(source.trained, held_out)
    order = np.argsort(predictions.confidence)
    kept_back = np.cumsum(np.where(predictions.correct[order], -1, 1))
    best = int(kept_back.argmax())
    return float(predictions.confidence[order[best]]) if kept_back[best] > 0 else 0.0


def sample_gradients(source: Source, samples: Dataset) -> bytes:
    """What `jax.grad` gives for each sample, with its label: safetensors, an entry a layer.

    The gradient of a dense layer's weights is the outer product of that of its biases and of its
    input, which are kept instead; that they are is checked.
    """
    model = source.model
    value_and_grad, evaluate = (
        autodiff(model, LOSSES[source.trained.config.loss]),
        with_inputs(model),
    )

    @jax.jit
    @jax.vmap
    def compute(
        image: UInt8[Array, "height width"], label: Num[Array, ""]
    ) -> tuple[Params, list[Float[Array, "..."]]]:
        pixels = scale_pixels(image[None], jnp.dtype(jnp.float32))
        _, grads = value_and_grad(source.trained.params, pixels, label[None])
        _, inputs = evaluate(source.trained.params, pixels)
        return grads, [inputs[l].ravel() for l, p in enumerate(source.trained.params) if p]

    with jax.default_matmul_precision("highest"):  # on a GPU, too
        grads, inputs = jax.device_get(compute(samples.images, samples.labels))
    kinds = [layer.kind for layer, p in zip(model.layers, grads, strict=True) if p]
    tensors = {}
    for index, (kind, p, a) in enumerate(zip(kinds, filter(None, grads), inputs, strict=True)):
        tensors[f"layers.{index}.biases"] = p.biases
        if kind != "dense":
            tensors[f"layers.{index}.weights"] = p.weights
            continue
        outer = p.biases[:, :, None] * a[:, None, :]
        np.testing.assert_allclose(p.weights, outer, rtol=1e-5, atol=1e-6 * abs(outer).max())
        if index:  # the input of the first is the image
            tensors[f"layers.{index}.inputs"] = a
    of_one = sum(tensor[0].nbytes for tensor in tensors.values())
    kept = max(1, min(len(samples.labels), GRADIENT_BYTES // of_one))
    return safetensors.numpy.save({n: t[:kept].copy() for n, t in tensors.items()})


def png(images: UInt8[np.ndarray, "n height width"]) -> bytes:
    """Images one below the other as a grey PNG, its rows not filtered: half as long as filtered."""
    rows = np.pad(images.reshape(-1, images.shape[2]), ((0, 0), (1, 0)))

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", images.shape[2], len(rows), 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _first(dataset: Dataset, count: int) -> Dataset:
    return Dataset(dataset.images[:count], dataset.labels[:count])


def _last(dataset: Dataset, count: int) -> Dataset:
    return Dataset(dataset.images[-count:], dataset.labels[-count:])


def _text(content: bytes) -> str:
    """Base 85: a quarter longer than the bytes, where base 64 is a third. HTML has to escape <."""
    return base64.b85encode(content).decode().replace("<", ",")


def _short(name: str) -> str:
    """A file of the page without indentation and the comments between functions."""
    return re.sub(r"(?ms)^\s*/\*\*.*?\*/\n|^ +", "", (FOLDER / name).read_text("utf-8"))


def _hash(element: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(element.encode()).digest()).decode()}'"


USAGE = """\
Open {path} in a browser, from the disk or from any host: draw, look inside, learn, train.
digits.predict(pixels) and digits.gradient(pixels, label) in its console: {height} x {width} levels\
"""
