"""A pure-functional JAX laboratory for learning handwritten digits."""

from typing import Any

from digits_jax import data
from digits_jax.config import Config, Hyperparameters, hyperparameters
from digits_jax.data import Dataset, Splits
from digits_jax.evaluation import Metrics
from digits_jax.layers import Affine, Layer
from digits_jax.models import Model, Params
from digits_jax.runs.model_file import TrainedModel
from digits_jax.runs.model_file import load as load_model
from digits_jax.runs.model_file import save as save_model
from digits_jax.training import TrainMetrics, TrainState, make_model, make_training

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "Config",
    "Dataset",
    "Hyperparameters",
    "Layer",
    "Metrics",
    "Model",
    "Params",
    "Splits",
    "TrainMetrics",
    "TrainState",
    "TrainedModel",
    "__version__",
    "data",
    "hyperparameters",
    "load_model",
    "make_model",
    "make_training",
    "recognise",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """`recognise`, whose room needs scipy and Pillow, which a training does not."""
    if name != "recognise":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from digits_jax.recognition import recognise

    return recognise
