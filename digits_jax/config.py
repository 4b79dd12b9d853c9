"""Config: the one list of what a run depends on."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from digits_jax.activations import ACTIVATIONS
from digits_jax.losses import LOSSES
from digits_jax.models import INITIALIZERS
from digits_jax.optimizers import OPTIMIZERS, SCHEDULES

GRADIENTS = ("autodiff", "manual")


def _setting(default: Any, group: str, help: str, **bounds: Any) -> Any:
    """A field with what a flag needs to know: `choices`, or the bounds `minimum` and `maximum`."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help, **bounds})


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything the result of a run depends on. The defaults are the classic run.

    Raises:
        ValueError: in one line, where a value is out of range or two values cannot go together.
    """

    dataset: str = _setting("mnist", "data", "mnist, or tfds:NAME for a set of TensorFlow Datasets")
    data_dir: str | None = _setting(
        None, "data", "folder of IDX files with the MNIST names, or of TFDS"
    )
    train_size: int = _setting(
        10_000, "data", "training images, from the front of the training file", minimum=1
    )
    validation_size: int = _setting(
        10_000, "data", "validation images, from its end; 0: none", minimum=0
    )

    hidden: tuple[int, ...] = _setting(
        (30,), "network", "units of each hidden layer, as in 30 or 128,64", minimum=1
    )
    activation: str = _setting(
        "sigmoid", "network", "activation of the hidden layers", choices=tuple(ACTIVATIONS)
    )
    init: str = _setting(
        "lecun_normal", "network", "how initial parameters are drawn", choices=tuple(INITIALIZERS)
    )
    init_scale: float = _setting(1.0, "network", "factor on every initial parameter", minimum=0.0)

    loss: str = _setting("quadratic", "training", "loss", choices=tuple(LOSSES))
    gradients: str = _setting("autodiff", "training", "how gradients are made", choices=GRADIENTS)
    optimizer: str = _setting("sgd", "training", "optimizer", choices=tuple(OPTIMIZERS))
    learning_rate: float = _setting(3.0, "training", "peak learning rate", minimum=0.0)
    schedule: str = _setting(
        "constant", "training", "course of the learning rate", choices=tuple(SCHEDULES)
    )
    warmup_epochs: float = _setting(
        1.0, "training", "length of the linear warm-up of warmup_cosine", minimum=0.0
    )
    momentum: float = _setting(
        0.9, "training", "momentum of momentum and nesterov", minimum=0.0, maximum=1.0
    )
    weight_decay: float = _setting(
        0.0,
        "training",
        "decay of weights, not biases; decoupled in adamw and lion, else L2",
        minimum=0.0,
    )
    label_smoothing: float = _setting(
        0.0,
        "training",
        "share of each label spread evenly over all classes",
        minimum=0.0,
        maximum=1.0,
    )
    clip_norm: float = _setting(
        0.0, "training", "largest global norm of a gradient; 0: no clipping", minimum=0.0
    )
    batch_size: int = _setting(10, "training", "images a step", minimum=1)
    epochs: int = _setting(30, "training", "passes over the training images", minimum=1)
    shards: int = _setting(
        1, "training", "devices that share the run, each with its part of the images", minimum=1
    )
    seed: int = _setting(
        0, "training", "of initial parameters and order of images", minimum=0, maximum=2**32 - 1
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(map(int, self.hidden)))
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.batch_size > self.train_size:
            raise ValueError(
                f"batch_size={self.batch_size} is larger than train_size={self.train_size}"
            )
        if self.batch_size % self.shards or self.train_size % self.shards:
            raise ValueError(
                f"batch_size={self.batch_size} and train_size={self.train_size} must divide by "
                f"shards={self.shards}: the nearest that do are "
                f"batch_size={_nearest_multiple(self.batch_size, self.shards)} and "
                f"train_size={_nearest_multiple(self.train_size, self.shards)}"
            )
        if self.total_steps >= 2**31:
            raise ValueError(
                f"batch_size={self.batch_size} and epochs={self.epochs}: {self.total_steps} "
                f"updates are more than the {2**31 - 1} that 32 bits count"
            )
        if self.gradients == "manual" and ACTIVATIONS[self.activation].derivative is None:
            derived = ", ".join(
                name for name, activation in ACTIVATIONS.items() if activation.derivative
            )
            raise ValueError(
                f"gradients=manual: activation={self.activation} has no hand-written derivative; "
                f"these have: {derived}"
            )
        if self.schedule == "warmup_cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs:g} must be less than epochs={self.epochs}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The Config that `dataclasses.asdict` gave, also after a way through JSON."""
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return cls(**values | {"hidden": tuple(values["hidden"])})

    @property
    def data_settings(self) -> dict[str, Any]:
        """The arguments of `data.load`."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if f.metadata["group"] == "data"}

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what its permutation puts after them is left out of it."""
        return self.train_size // self.batch_size

    @property
    def warmup_steps(self) -> int:
        """Updates of the linear warm-up."""
        return max(1, round(self.warmup_epochs * self.steps_per_epoch))

    @property
    def total_steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch


def _nearest_multiple(number: int, factor: int) -> int:
    """Of two equally near, the lesser: there may be no more images."""
    return max(1, (number + (factor - 1) // 2) // factor) * factor


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        raise ValueError(f"{field.name}={value}: choose one of {', '.join(choices)}")
    minimum, maximum = (
        field.metadata.get("minimum", -math.inf),
        field.metadata.get("maximum", math.inf),
    )
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not (
            minimum <= number <= maximum and math.isfinite(number)
        ):
            upper = "" if maximum == math.inf else f" and at most {maximum}"
            raise ValueError(
                f"{field.name}={number}: must be a finite number of at least {minimum}{upper}"
            )


class Hyperparameters(NamedTuple):
    """What is only a number inside the compiled program: a sweep over it runs the same program.

    `None` leaves a term out of the program: no weight decay, label smoothing or clipping.
    """

    seed: Any
    learning_rate: Any
    momentum: Any
    init_scale: Any
    weight_decay: Any = None
    label_smoothing: Any = None
    clip_norm: Any = None


def hyperparameters(config: Config) -> Hyperparameters:
    """The numbers of a Config as scalars that travel into compiled programs as arguments."""
    return Hyperparameters(
        seed=np.uint32(config.seed),
        learning_rate=np.float32(config.learning_rate),
        momentum=np.float32(config.momentum),
        init_scale=np.float32(config.init_scale),
        weight_decay=np.float32(config.weight_decay) if config.weight_decay else None,
        label_smoothing=np.float32(config.label_smoothing) if config.label_smoothing else None,
        clip_norm=np.float32(config.clip_norm) if config.clip_norm else None,
    )
