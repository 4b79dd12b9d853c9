"""What is exported: a model file, alone or in the folder of its run."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Array, Float, UInt8

from digits_jax import data
from digits_jax.evaluation import dtype_of, scale_pixels
from digits_jax.losses import LOSSES
from digits_jax.models import Model, describe
from digits_jax.runs import model_file, reading
from digits_jax.runs.directories import MODEL_FILE, SUMMARY_FILE
from digits_jax.runs.files import read_json
from digits_jax.training import make_model


class Source(NamedTuple):
    """A trained model, the bytes of its file, and what its run measured, where that is known."""

    name: str
    content: bytes
    trained: model_file.TrainedModel
    summary: dict[str, Any]

    @property
    def made_for(self) -> tuple[tuple[int, int], int]:
        """Height and width of its images, and the number of its classes."""
        return self.trained.image_shape, self.trained.num_classes

    @property
    def model(self) -> Model:
        """The network itself."""
        return make_model(self.trained.config, *self.made_for)


def read(path: Path) -> Source:
    """Reads a run's folder, a sweep's for that of its best setting, or a model file alone.

    Raises:
        ValueError: in one line, where there is no model, or a damaged one.
        OSError: where a file cannot be read.
    """
    path = reading.of_sweep(path)
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        what = f"not a finished run: {MODEL_FILE} is not there" if path.is_dir() else "no such run"
        raise ValueError(f"{path}: {what}")
    summary = file.parent / SUMMARY_FILE
    measured = read_json(summary) if path.is_dir() and summary.exists() else {}
    name = reading.name_of(path) if path.is_dir() else path.stem
    return Source(name, file.read_bytes(), model_file.load(file), measured)


def shipped(name: str) -> Path:
    """The path of the model of this name that comes with the library.

    Raises:
        ValueError: in one line, where there is none.
    """
    folder = Path(__file__).parents[1] / "recognition" / "models"
    known = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    known = {stem: path for stem, path in known.items() if "." not in stem}
    if name not in known:
        there = ", ".join(known) or "none in this version"
        raise ValueError(f"model={name}: with the library come: {there}")
    return known[name]


def class_names(source: Source) -> tuple[str, ...]:
    """The names that the data set gives its classes; numbers if its files are not available."""
    settings = source.trained.config.data_settings
    try:
        names = (data.outline(**settings) or data.load(**settings)).class_names
    except (OSError, ValueError):
        names = ()
    count = source.trained.num_classes
    return names if len(names) == count else tuple(map(str, range(count)))


def card(source: Source) -> dict[str, str]:
    """What a reader of an exported model has to know: texts by name."""
    config = source.trained.config
    measured = [name for name in ("test_accuracy", "test_size") if name in source.summary]
    return {
        "network": describe(config.hidden, *source.made_for),
        "class_names": json.dumps(class_names(source)),
        "config": json.dumps(dataclasses.asdict(config)),
        "outputs": LOSSES[config.loss].outputs,
    } | {name: str(source.summary[name]) for name in measured}


def make_apply(
    source: Source,
) -> Callable[
    [UInt8[Array, "n height width"]],
    tuple[Float[Array, "n classes"], Float[Array, "n classes"]],
]:
    """The function from grey levels to logits and probabilities, its parameters within."""
    params = source.trained.params
    model, loss = source.model, LOSSES[source.trained.config.loss]

    def apply(
        images: UInt8[Array, "n height width"],
    ) -> tuple[Float[Array, "n classes"], Float[Array, "n classes"]]:
        logits = model.apply(params, scale_pixels(images, dtype_of(params)))
        return logits, loss.probabilities(logits)

    return apply
