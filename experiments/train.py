"""Trains a network on handwritten digits and writes the run into a folder of its own.

Without flags it is the classic run: MNIST, 10,000 training images, 784-30-10, sigmoid, quadratic
cost, SGD with learning rate 3.0, batch 10, 30 epochs.

usage: python -m experiments.train [--flagfile=experiments/recipes/NAME.flags] [--flag=value ...]
"""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from digits_jax import data, runs
from digits_jax.config import Config
from digits_jax.files import write_atomically
from experiments import STARTED, flags

CLASSIC_ACCURACY = 0.9278


def run_name(config: Config, splits: data.Splits) -> str:
    """What a run is about: its data and the sizes of its layers, as in mnist-784-30-10."""
    dataset = config.dataset
    if dataset == "mnist" and config.data_dir is not None:
        dataset = Path(config.data_dir).resolve().name
    height, width = splits.image_shape
    sizes = (height * width, *config.hidden, splits.num_classes)
    return "-".join([dataset, *map(str, sizes)])


def is_embedded_mnist(config: Config) -> bool:
    """Whether the data are those of the classic run."""
    return config.dataset == "mnist" and config.data_dir is None


def report(config: Config, summary: dict[str, Any], directory: Path) -> str:
    """The few lines that a run ends with."""
    classic = f" (the classic run: {CLASSIC_ACCURACY:.2%})" if is_embedded_mnist(config) else ""
    return (
        "test accuracy  {test_accuracy:.2%}, {test_errors:,} errors in {test_size:,}{classic}\n"
        "training       {train_seconds:.2f} s, {images_per_second:,} images/s on {device}\n"
        "compilation    {compile_seconds:.2f} s; everything {total_seconds:.2f} s\n"
        "files          {directory}"
    ).format(**summary, classic=classic, directory=directory)


def main() -> None:
    with flags.user_errors(ValueError, OSError):
        config = flags.config()
        if flags.FLAGS.workdir is not None:
            runs.check_directory(flags.workdir(""), flags.FLAGS.overwrite)
        splits = data.load(
            config.dataset, config.data_dir, config.train_size, config.validation_size
        )
        directory = flags.workdir(run_name(config, splits))
        runs.prepare_directory(directory, flags.FLAGS.overwrite)
        write_atomically(directory / runs.FLAGS_FILE, flags.config_flags().encode())

    with (
        tqdm(total=config.epochs, unit="epoch", disable=None) as bar,
        flags.user_errors(runs.Diverged, OSError),
    ):

        def on_epoch(row: runs.Row) -> None:
            if row.validation_accuracy is not None:
                bar.set_postfix_str(f"validation {row.validation_accuracy:.2%}", refresh=False)
            bar.update()

        summary = runs.train(config, splits, directory, on_epoch, STARTED)
    print(report(config, summary, directory))


if __name__ == "__main__":
    flags.define_config()
    flags.define_workdir()
    flags.run(main)
