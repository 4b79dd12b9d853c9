"""summary.json: what a run came to, how long it took, and on what; written last."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.evaluation import Metrics
from digits_jax.models import count_parameters
from digits_jax.runs import identity
from digits_jax.runs.files import read_json
from digits_jax.runs.history import Row
from digits_jax.runs.model_file import TrainedModel
from digits_jax.runs.programs import accuracy, decimal


class Trained(NamedTuple):
    """What training gives: the model, every epoch's row, the test metrics, and seconds by name.

    `seconds` are of one process: of compiling, of scoring validation and test images, of writing
    the model. `judged_epoch` is the epoch after which the model was as it is.
    """

    model: TrainedModel
    rows: tuple[Row, ...]
    test: Metrics
    seconds: Mapping[str, float]
    judged_epoch: int


def summarise(
    trained: Trained,
    splits: Splits,
    total_seconds: float,
    seconds: Mapping[str, float],
    entries: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """What summary.json holds.

    In a run that was resumed, `train_seconds` is the sum over all epochs of metrics.csv; all other
    times are of the last process alone.

    Args:
        trained: what `runs.train` gave.
        splits: the data it had.
        total_seconds: since the process began.
        seconds: what came before training, by name.
        entries: path and SHA-256 of every file whose entries the run used.
    """
    config = trained.model.config
    train_seconds = sum(row.seconds for row in trained.rows)
    took = {
        **seconds,
        "compile_seconds": trained.seconds["compile"],
        "train_seconds": train_seconds,
        "evaluate_seconds": trained.seconds["evaluate"],
        "write_seconds": trained.seconds["write"],
        "total_seconds": total_seconds,
    }
    return {
        "test_accuracy": accuracy(trained.test, splits.test),
        "test_loss": decimal(trained.test.loss),
        "test_errors": int(trained.test.errors),
        "test_size": len(splits.test.labels),
        "epochs": trained.rows[-1].epoch,
        "judged": judged(trained),
        "steps": trained.rows[-1].step,
        "parameters": count_parameters(trained.model.params),
        **{name: round(value, 4) for name, value in took.items()},
        "images_per_second": round(trained.rows[-1].step * config.batch_size / train_seconds),
        "device": jax.devices()[0].device_kind,
        "devices": config.shards,
        "cpu_threads": identity.computed_by().get("threads"),
        "data": trained.model.data,
        "numerics": identity.numerics(),
        "versions": identity.versions(),
        "seed": config.seed,
        "config": dataclasses.asdict(config),
        **({"entries": list(entries)} if entries else {}),
    }


def judged(trained: Trained) -> str:
    """Which parameters are judged, in words."""
    config, last = trained.model.config, trained.rows[-1].epoch
    what = "running mean" if config.average and config.judge != "last" else "parameters"
    if config.judge != "best":
        return f"{what} after epoch {last}{f' of {config.epochs}' * (last < config.epochs)}"
    return (
        f"{what} after epoch {trained.judged_epoch} of {last}, which made the fewest errors on "
        "validation images"
    )


def is_of(path: Path, config: Config) -> bool:
    """Whether `path` is the whole summary of a run of `config`."""
    try:
        found = Config.from_dict(read_json(path)["config"])
        return identity.settings(found) == identity.settings(config)
    except (OSError, ValueError, KeyError, TypeError):
        return False
