"""Config: the one list of what a run depends on."""

import dataclasses
import math
import numbers
import re
from collections import ChainMap, namedtuple
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from digits_jax import layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.estimators import ESTIMATORS
from digits_jax.gradients import GRADIENTS
from digits_jax.losses import LOSSES
from digits_jax.models import INITIALIZERS
from digits_jax.optimizers import OPTIMIZERS, SCHEDULES

# What a value of each type has to be, and how that is said.
TYPES: dict[Any, tuple[Any, str]] = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "a text"),
    str | None: ((str, type(None)), "a text, or None"),
}

JUDGES = ("auto", "last", "average", "best")


def _setting(default: Any, group: str, text: str, **about: Any) -> Any:
    """A field with what a flag needs to know: `choices`, or the bounds `minimum` and `maximum`.

    With `traced`, it is only a number inside the compiled program, a field of `Hyperparameters`.
    `neutral` is then what the term does nothing at; without it the program always has the term, and
    with it only where the setting is not 0.
    """
    return dataclasses.field(default=default, metadata={"group": group, "help": text, **about})


def _distortion(what: str, unit: str, **about: Any) -> Any:
    """The most by which training images are distorted, to both sides of none."""
    text = f"largest {what}, in {unit}"
    return _setting(0.0, "augmentation", text, minimum=0.0, traced=True, neutral=0.0, **about)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything the result of a run depends on. The defaults are the classic run.

    Raises:
        ValueError: in one line, where a value is out of range or two values cannot go together.
    """

    dataset: str = _setting("mnist", "data", "mnist, or tfds:NAME for a set of TensorFlow Datasets")
    data_dir: str | None = _setting(
        None,
        "data",
        "folder of IDX files, .npy files or class folders; or of TFDS",
    )
    train_size: int = _setting(
        10_000,
        "data",
        "training images, from the front of the file; all: what is left",
        minimum=1,
    )
    validation_size: int = _setting(
        10_000, "data", "validation images, from its end; 0: none", minimum=0
    )

    hidden: tuple[str | int, ...] = _setting(
        ("30",), "network", f"hidden layers, each one of {layers.GRAMMAR}"
    )
    activation: str = _setting(
        "sigmoid", "network", "activation of the hidden layers", choices=ACTIVATIONS
    )
    init: str = _setting(
        "lecun_normal", "network", "how initial parameters are drawn", choices=INITIALIZERS
    )
    init_scale: float = _setting(
        1.0, "network", "factor on every initial parameter", minimum=0.0, traced=True
    )

    loss: str = _setting("quadratic", "training", "loss", choices=LOSSES)
    gradients: str = _setting(
        "autodiff",
        "training",
        "how gradients are made",
        choices=ChainMap(ESTIMATORS, GRADIENTS),  # it begins with the last
    )
    directions: int = _setting(
        1, "training", "random directions a step of forward_gradient and evolution", minimum=1
    )
    optimizer: str = _setting("sgd", "training", "optimizer", choices=OPTIMIZERS)
    learning_rate: float = _setting(3.0, "training", "peak learning rate", minimum=0.0, traced=True)
    schedule: str = _setting(
        "constant", "training", "course of the learning rate", choices=SCHEDULES
    )
    warmup_epochs: float = _setting(
        1.0, "training", "length of the linear warm-up of warmup_cosine", minimum=0.0
    )
    momentum: float = _setting(
        0.9, "training", "momentum of momentum and nesterov", minimum=0.0, maximum=1.0, traced=True
    )
    weight_decay: float = _setting(
        0.0,
        "training",
        "decay of weights, not biases; decoupled in adamw, lion and muon, else L2",
        minimum=0.0,
        traced=True,
        neutral=0.0,
    )
    label_smoothing: float = _setting(
        0.0,
        "training",
        "share of each label spread evenly over all classes",
        minimum=0.0,
        maximum=1.0,
        traced=True,
        neutral=0.0,
    )
    clip_norm: float = _setting(
        0.0,
        "training",
        "largest global norm of a gradient; 0: no clipping",
        minimum=0.0,
        traced=True,
        neutral=math.inf,
    )
    average: float = _setting(
        0.0,
        "training",
        "decay of a running mean of the parameters; 0: none",
        minimum=0.0,
        maximum=0.999999,
        traced=True,
        neutral=0.0,
    )
    judge: str = _setting(
        "auto",
        "training",
        "what is scored and kept: average, last or best by validation; auto: average if any",
        choices=JUDGES,
    )
    patience: int = _setting(
        0,
        "training",
        "end after so many epochs without fewer validation errors; 0: never",
        minimum=0,
    )
    batch_size: int = _setting(10, "training", "images a step", minimum=1)
    epochs: int = _setting(30, "training", "passes over the training images", minimum=1)
    shards: int = _setting(
        1, "training", "devices that share the run, each with its part of the images", minimum=1
    )
    seed: int = _setting(
        0,
        "training",
        "of initial parameters and order of images",
        minimum=0,
        maximum=2**32 - 1,
        traced=True,
    )

    rotate: float = _distortion("rotation", "degrees")
    scale: float = _distortion("change of height and of width", "a share", maximum=0.9)
    shear: float = _distortion("shear", "pixels to the side a pixel down")
    shift: float = _distortion("shift down and to the side", "pixels")
    elastic: float = _distortion("standard deviation of a smooth random field", "pixels")
    thickness: float = _distortion("change of strokes", "about a pixel on each side", maximum=1.0)
    fade: float = _setting(
        0.0,
        "augmentation",
        "share of the run, its end, over which distortions shrink to none",
        minimum=0.0,
        maximum=1.0,
        traced=True,
        neutral=0.0,
    )

    def __post_init__(self) -> None:
        if isinstance(self.hidden, tuple):  # ("30",) is (30,)
            object.__setattr__(self, "hidden", tuple(map(str, self.hidden)))
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        words = ",".join(map(str, self.hidden))
        if max(map(len, re.findall(r"\d+", words)), default=0) > 9:
            raise ValueError(f"hidden={words}: at most 999999999 units in a layer")
        layers.parse(self.hidden)
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

        if self.watches_validation and not self.validation_size:
            raise ValueError(
                f"judge={self.judge}, patience={self.patience}: validation_size=0, and that epochs "
                "are compared takes validation images"
            )
        if self.judge == "average" and not self.average:
            raise ValueError("judge=average: average=0 makes none: expected one as in average=0.99")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The Config that `dataclasses.asdict` gave, also by way of JSON, or of fewer fields."""
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        # JSON has lists alone.
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples)

    @property
    def data_settings(self) -> dict[str, Any]:
        """The arguments of `data.load`."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if f.metadata["group"] == "data"}

    @property
    def watches_validation(self) -> bool:
        """Whether the run depends on its validation images: which epoch is kept, or the last."""
        return self.judge == "best" or self.patience > 0

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
        """Updates in the whole run, if patience does not end it."""
        return self.epochs * self.steps_per_epoch


def _nearest_multiple(number: int, factor: int) -> int:
    """Of two equally near, the lesser: there may be no more images."""
    return max(1, (number + (factor - 1) // 2) // factor) * factor


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    choices, of_type = field.metadata.get("choices"), TYPES.get(field.type)
    if choices and value not in choices:
        raise ValueError(f"{field.name}={value}: choose one of {', '.join(choices)}")
    if of_type and (isinstance(value, bool) or not isinstance(value, of_type[0])):
        raise ValueError(f"{field.name}={value!r}: must be {of_type[1]}")
    if isinstance(field.default, tuple) and not isinstance(value, tuple):
        raise ValueError(f"{field.name}={value!r}: must be a tuple")
    if field.type in (int, float):
        minimum = field.metadata.get("minimum", -math.inf)
        maximum = field.metadata.get("maximum", math.inf)
        if not (minimum <= value <= maximum and math.isfinite(value)):
            upper = "" if maximum == math.inf else f" and at most {maximum}"
            raise ValueError(
                f"{field.name}={value}: must be a finite number of at least {minimum}{upper}"
            )
        if field.type is float and value > float(np.finfo(np.float32).max):
            raise ValueError(f"{field.name}={value}: is more than float32 holds, 3.4e38")


# The settings that are only numbers inside a program, each with what its term does nothing at.
NEUTRAL = {
    field.name: field.metadata.get("neutral")
    for field in dataclasses.fields(Config)
    if "traced" in field.metadata
}
if TYPE_CHECKING:
    Hyperparameters: TypeAlias = Any
else:
    Hyperparameters = namedtuple("Hyperparameters", NEUTRAL)
    Hyperparameters.__doc__ = """What is only a number inside a program: a sweep over it shares one.

    `None` leaves a term out of the program: no weight decay, label smoothing or clipping.
    """


def hyperparameters(config: Config) -> Hyperparameters:
    """The numbers of a Config as scalars that travel into compiled programs as arguments."""
    values = {name: getattr(config, name) for name in NEUTRAL}
    return Hyperparameters(
        **{
            name: None
            if NEUTRAL[name] is not None and not value
            else np.uint32(value)
            if name == "seed"
            else np.float32(value)
            for name, value in values.items()
        }
    )
