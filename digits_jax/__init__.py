"""A pure-functional JAX laboratory for learning handwritten digits."""

import importlib
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
    "load_runs",
    "make_model",
    "make_training",
    "predict",
    "recognise",
    "save_model",
    "sweep",
    "verdict",
]


# From rooms that need more than a training does.
LATER = {
    "load_runs": "digits_jax.results",
    "predict": "digits_jax.predictions",
    "recognise": "digits_jax.recognition",
    "sweep": "digits_jax.results",
    "verdict": "digits_jax.statistics",
}


def __getattr__(name: str) -> Any:
    """The functions of `LATER`, imported when they are first asked for."""
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LATER[name]), name)
