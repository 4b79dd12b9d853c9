"""A trained model as one portable file: safetensors."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.config import Config
from digits_jax.models import Fitted, Weights, fitted
from digits_jax.runs.files import write_atomically
from digits_jax.runs.tensor_file import Tensors, decode, encode, fill, named
from digits_jax.training import make_model

FORMAT = 2
READABLE = (1, 2)  # the digest of 1 is of the tensors alone
MOST_PIXELS, MOST_CLASSES = 2**24, 2**20


class TrainedModel(NamedTuple):
    """Parameters and what it takes to apply them: see `digits_jax.training.make_model`.

    `data` is the SHA-256 of what it was trained and scored on; empty where that is not known.
    """

    params: Weights
    config: Config
    image_shape: tuple[int, int]
    num_classes: int
    data: str = ""


def save(path: str | os.PathLike[str], model: TrainedModel) -> None:
    """Writes a model as safetensors: the same model gives the same bytes.

    Tensors are named by their paths in the parameters: `layers.0.weights`, `layers.0.biases` and so
    on. The metadata holds their shapes, the Config, the image size and class count, and a SHA-256
    of the whole file.

    Raises:
        OSError: where the file cannot be written; an earlier file of that name is then untouched.
    """
    write_atomically(Path(path), to_bytes(model))


def to_bytes(model: TrainedModel) -> bytes:
    """What `save` writes."""
    tensors = jax.device_get(named(_layers(model.params)))
    metadata = {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "image_shape": model.image_shape,
        "num_classes": model.num_classes,
        "data": model.data,
        "shapes": {name: tensor.shape for name, tensor in tensors.items()},
    }
    return encode(tensors, metadata)


def load(path: str | os.PathLike[str]) -> TrainedModel:
    """Reads a model that `save` wrote, or that of a run's folder.

    Its SHA-256 is checked, and that its parameters are finite.

    Settings that its Config lacks, as the version that wrote it did not have them, are at default.

    Raises:
        ValueError: in one line, where the file is damaged, of another format, or no model of ours.
        OSError: where it cannot be opened.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    content = path.read_bytes()
    try:
        return _parse(*decode(content))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _parse(tensors: Tensors, metadata: dict[str, Any]) -> TrainedModel:
    if metadata["format"] not in READABLE:
        raise ValueError(f"format {metadata['format']}, this version reads {READABLE}")
    config, num_classes = Config.from_dict(metadata["config"]), metadata["num_classes"]
    height, width = metadata["image_shape"]
    counts = {"height": height, "width": width, "pixels": height * width, "classes": num_classes}
    for name, count in counts.items():
        most = MOST_CLASSES if name == "classes" else MOST_PIXELS
        if type(count) is not int or not 1 <= count <= most:
            raise ValueError(f"{name} is {count!r:.20}, expected an integer from 1 to {most}")
    model = make_model(config, (height, width), num_classes)
    template = jax.eval_shape(lambda: fitted(model.init(jax.random.key(0)), model.state()))
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        with np.errstate(over="ignore"):
            tensors = {
                name: tensor.astype(np.float32) if tensor.dtype == np.float64 else tensor
                for name, tensor in tensors.items()
            }
    leaves = jax.tree.leaves(fill(_layers(template), tensors))
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity")
    params = jax.tree.unflatten(jax.tree.structure(template), map(jnp.asarray, leaves))
    return TrainedModel(params, config, (height, width), num_classes, metadata.get("data", ""))


def _layers(weights: Weights) -> dict[str, Any]:
    """What the tensors are named by: layers without parameters, or without state, do not count."""
    entries: dict[str, Any] = {"layers": weights}
    if isinstance(weights, Fitted):
        entries = {"layers": weights.params, "state": weights.state}
    return {name: tuple(filter(jax.tree.leaves, own)) for name, own in entries.items()}
