"""The name of a run, and the lines that it ends with."""

from pathlib import Path
from typing import Any

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.models import describe

CLASSIC_ACCURACY = 0.9278


def run_name(config: Config, splits: Splits) -> str:
    """What a run is about: its data and the sizes of its layers, as in mnist-784-30-10."""
    dataset = config.dataset
    if dataset == "mnist" and config.data_dir is not None:
        dataset = Path(config.data_dir).resolve().name
    return f"{dataset}-{describe(config.hidden, splits.image_shape, splits.num_classes)}"


def ending(config: Config, summary: dict[str, Any], directory: Path) -> str:
    """The few lines that a run ends with."""
    embedded = config.dataset == "mnist" and config.data_dir is None
    classic = f" (the classic run: {CLASSIC_ACCURACY:.2%})" if embedded else ""
    told = f"judged         {summary['judged']}\n" if config.watches_validation else ""
    return (
        "test accuracy  {test_accuracy:.2%}, {test_errors:,} errors in {test_size:,}{classic}\n"
        "{told}"
        "training       {train_seconds:.2f} s, {images_per_second:,} images/s on {device}\n"
        "compilation    {compile_seconds:.2f} s; everything {total_seconds:.2f} s\n"
        "files          {directory}"
    ).format(**summary, classic=classic, told=told, directory=directory)
