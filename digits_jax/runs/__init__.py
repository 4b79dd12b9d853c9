"""A run in a folder of its own: trained, saved, resumed, read back."""

from digits_jax.runs.history import Row
from digits_jax.runs.model_file import TrainedModel, load, save
from digits_jax.runs.observers import Diverged
from digits_jax.runs.programs import compile_programs
from digits_jax.runs.run import (
    BEST,
    CHECKPOINTS,
    FLAGS_FILE,
    METRICS_FILE,
    MODEL_FILE,
    PROFILE,
    SUMMARY_FILE,
    Stopped,
    epochs_may_grow,
    is_finished,
    prepare_directory,
    restore,
    train,
    write_summary,
)
from digits_jax.runs.summary import Trained

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "FLAGS_FILE",
    "METRICS_FILE",
    "MODEL_FILE",
    "PROFILE",
    "SUMMARY_FILE",
    "Diverged",
    "Row",
    "Stopped",
    "Trained",
    "TrainedModel",
    "compile_programs",
    "epochs_may_grow",
    "is_finished",
    "load",
    "prepare_directory",
    "restore",
    "save",
    "train",
    "write_summary",
]
