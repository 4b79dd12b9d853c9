"""A trained model as one portable file: safetensors, which needs no pickle to be read."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from digits_jax.config import Config
from digits_jax.models import Params
from digits_jax.runs.files import write_atomically
from digits_jax.training import make_model

FORMAT = 1
# One key, holding JSON: safetensors writes several keys in an order that changes with each call.
METADATA_KEY = "digits_jax"


class TrainedModel(NamedTuple):
    """Parameters and what it takes to apply them: see `digits_jax.training.make_model`."""

    params: Params
    config: Config
    image_shape: tuple[int, int]
    num_classes: int


def save(path: str | os.PathLike[str], model: TrainedModel) -> None:
    """Writes a model as safetensors: the same model gives the same bytes.

    Tensors are named `layers.0.weights`, `layers.0.biases` and so on. The metadata holds their
    shapes, the Config, the image size and class count, and a SHA-256 of the tensors.

    Raises:
        OSError: where the file cannot be written; an earlier file of that name is then untouched.
    """
    tensors = {
        f"layers.{index}.{field}": np.asarray(value, order="C")
        for index, layer in enumerate(filter(None, model.params))
        for field, value in layer._asdict().items()
    }
    metadata = {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "image_shape": model.image_shape,
        "num_classes": model.num_classes,
        "shapes": {name: tensor.shape for name, tensor in tensors.items()},
        "sha256": sha256(tensors),
    }
    content = safetensors.numpy.save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    write_atomically(Path(path), content)


def load(path: str | os.PathLike[str]) -> TrainedModel:
    """Reads a model that `save` wrote, and checks its SHA-256.

    Raises:
        ValueError: in one line, where the file is damaged, of another format, or no model of ours.
        OSError: where it cannot be opened.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: damaged, or not a safetensors file: {error}") from None
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but not a model of digits_jax")
    try:
        return _parse(json.loads(text), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _parse(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> TrainedModel:
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']}, this version reads {FORMAT}")
    if metadata["sha256"] != sha256(tensors):
        raise ValueError("damaged: the SHA-256 of its tensors is not the one recorded")
    (height, width), num_classes = metadata["image_shape"], metadata["num_classes"]
    config = Config.from_dict(metadata["config"])
    model = make_model(config, (height, width), num_classes)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    names = tensor_names(shapes)
    return TrainedModel(
        jax.tree.unflatten(jax.tree.structure(shapes), [jnp.asarray(tensors[n]) for n in names]),
        config,
        (height, width),
        num_classes,
    )


def tensor_names(params: Params) -> list[str]:
    """`layers.0.weights`, `layers.0.biases` and so on: layers with parameters are counted."""
    return [
        f"layers.{index}.{field}"
        for index, layer in enumerate(filter(None, params))
        for field in layer._fields
    ]


def sha256(tensors: dict[str, np.ndarray]) -> str:
    """The hash of every tensor's name, type, shape and bytes, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
