"""A run in a folder of its own: trained, saved, resumed, read back."""

from digits_jax.runs.directories import (
    BEST,
    CHECKPOINTS,
    FLAGS_FILE,
    IDENTITY_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROFILE,
    RESULTS_FILE,
    SUMMARY_FILE,
    SWEEP_SUMMARY_FILE,
)
from digits_jax.runs.history import Row
from digits_jax.runs.identity import epochs_may_grow
from digits_jax.runs.model_file import TrainedModel, load, save
from digits_jax.runs.observers import Diverged
from digits_jax.runs.programs import compile_programs
from digits_jax.runs.run import Stopped, begin, is_finished, restore, train, write_summary
from digits_jax.runs.summary import Trained

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "FLAGS_FILE",
    "IDENTITY_FILE",
    "METRICS_FILE",
    "MODEL_FILE",
    "PROFILE",
    "RESULTS_FILE",
    "SUMMARY_FILE",
    "SWEEP_SUMMARY_FILE",
    "Diverged",
    "Row",
    "Stopped",
    "Trained",
    "TrainedModel",
    "begin",
    "compile_programs",
    "epochs_may_grow",
    "is_finished",
    "load",
    "restore",
    "save",
    "train",
    "write_summary",
]
