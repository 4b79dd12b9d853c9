"""The networks that come with the package, and what they need to know when they are not sure.

NAME.md beside a network is its card: what made it, how good it is, what it cannot read.
"""

import functools
from pathlib import Path

import numpy as np

from digits_jax.recognition.certainty import Means, Reader, make_evidence
from digits_jax.runs import model_file, tensor_file
from digits_jax.runs.files import write_atomically
from digits_jax.runs.model_file import TrainedModel

MODELS = Path(__file__).parent / "models"
DEFAULT = "cnn"


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
    return Reader(make_evidence(model), tensors["means"].astype(np.float32), metadata["threshold"])


def save(path: Path, model: TrainedModel, means: Means, threshold: float) -> None:
    """Writes a network, and beside it what it takes to know when it is not sure."""
    model_file.save(path, model)
    content = tensor_file.encode({"means": means.astype(np.float16)}, {"threshold": threshold})
    write_atomically(_beside(path), content)


def _beside(path: Path) -> Path:
    return path.with_suffix(".certainty.safetensors")
