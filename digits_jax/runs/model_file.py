"""A trained model as one portable file: safetensors."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digits_jax.config import Config
from digits_jax.models import Fitted, Weights, fitted
from digits_jax.runs.files import write_atomically
from digits_jax.runs.tensor_file import Tensors, decode, encode, fill, named, sha256
from digits_jax.training import make_model

FORMAT = 1


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
    of the tensors.

    Raises:
        OSError: where the file cannot be written; an earlier file of that name is then untouched.
    """
    tensors = jax.device_get(named(_layers(model.params)))
    metadata = {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "image_shape": model.image_shape,
        "num_classes": model.num_classes,
        "data": model.data,
        "shapes": {name: tensor.shape for name, tensor in tensors.items()},
        "sha256": sha256(tensors),
    }
    write_atomically(Path(path), encode(tensors, metadata))


def load(path: str | os.PathLike[str]) -> TrainedModel:
    """Reads a model that `save` wrote, and checks its SHA-256.

    Settings that its Config lacks, as the version that wrote it did not have them, are at default.

    Raises:
        ValueError: in one line, where the file is damaged, of another format, or no model of ours.
        OSError: where it cannot be opened.
    """
    content = Path(path).read_bytes()
    try:
        return _parse(*decode(content))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _parse(tensors: Tensors, metadata: dict[str, Any]) -> TrainedModel:
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']}, this version reads {FORMAT}")
    if metadata["sha256"] != sha256(tensors):
        raise ValueError("damaged: the SHA-256 of its tensors is not the one recorded")
    config, num_classes = Config.from_dict(metadata["config"]), metadata["num_classes"]
    height, width = metadata["image_shape"]
    model = make_model(config, (height, width), num_classes)
    template = jax.eval_shape(lambda: fitted(model.init(jax.random.key(0)), model.state()))
    leaves = jax.tree.leaves(fill(_layers(template), tensors))
    params = jax.tree.unflatten(jax.tree.structure(template), map(jnp.asarray, leaves))
    data = metadata.get("data", "")
    return TrainedModel(params, config, (height, width), num_classes, data)


def _layers(weights: Weights) -> dict[str, Any]:
    """What the tensors are named by: layers without parameters, or without state, do not count."""
    entries: dict[str, Any] = {"layers": weights}
    if isinstance(weights, Fitted):
        entries = {"layers": weights.params, "state": weights.state}
    return {name: tuple(filter(jax.tree.leaves, own)) for name, own in entries.items()}
