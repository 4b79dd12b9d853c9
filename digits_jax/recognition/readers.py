"""The networks that come with the package, and what they need to know when they are not sure.

NAME.md beside a network is its card: what made it, how good it is, what it cannot read.
"""

import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from digits_jax.layers import Affine
from digits_jax.recognition.certainty import Means, Reader, make_evidence
from digits_jax.runs import model_file, tensor_file
from digits_jax.runs.files import write_atomically
from digits_jax.runs.model_file import TrainedModel

MODELS = Path(__file__).parent / "models"
DEFAULT = "cnn"
# The names of the weights and the bias for what is no digit.
OTHER = ("other.weights", "other.biases")


def shipped(name: str = DEFAULT) -> Path:
    """The file of a network of the package.

    Raises:
        ValueError: in one line, where there is none of that name.
    """
    known = sorted(path.stem for path in MODELS.glob("*.safetensors") if "." not in path.stem)
    if name not in known:
        raise ValueError(f"model={name}: expected {' or '.join(known)}")
    return MODELS / f"{name}.safetensors"


@functools.cache
def reader(name: str = DEFAULT) -> Reader:
    """A network of the package, ready to read.

    Raises:
        ValueError: as `shipped`.
    """
    return load(shipped(name))


def load(path: Path) -> Reader:
    """Reads what `save` wrote."""
    model = model_file.load(path)
    tensors, metadata = tensor_file.decode(_beside(path).read_bytes())
    row = [tensors[name] for name in OTHER if name in tensors]
    other = Affine(*map(jnp.asarray, row)) if row else None
    means = tensors["means"].astype(np.float32)
    return Reader(make_evidence(model, other), means, metadata["threshold"])


def save(
    path: Path, model: TrainedModel, means: Means, threshold: float, other: Affine | None = None
) -> None:
    """Writes a network, and beside it what it takes to know when it is not sure."""
    model_file.save(path, model)
    row = {} if other is None else dict(zip(OTHER, map(np.asarray, other), strict=True))
    content = tensor_file.encode(
        {"means": means.astype(np.float16), **row}, {"threshold": threshold}
    )
    write_atomically(_beside(path), content)


def _beside(path: Path) -> Path:
    return path.with_suffix(".certainty.safetensors")
