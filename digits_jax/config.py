"""Config: the one list of what the result of a run depends on."""

import dataclasses
import math
import numbers
import re
from collections import ChainMap, namedtuple
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from digits_jax import layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.estimators import ESTIMATORS
from digits_jax.gradients import GRADIENTS
from digits_jax.losses import LOSSES
from digits_jax.models import INITIALIZERS
from digits_jax.optimizers import NUMBERS, OPTIMIZERS, SCHEDULES, takes
from digits_jax.precision import PRECISIONS

# What a value of each type must be, and how a message says so.
TYPES: dict[Any, tuple[Any, str]] = {
    int: (numbers.Integral, "an integer"),
    float: (numbers.Real, "a number"),
    bool: (bool, "true or false"),
    str: (str, "a string"),
    str | None: ((str, type(None)), "a string or None"),
    tuple[str | int, ...]: (tuple, "a tuple"),
}
JUDGES = ("auto", "last", "average", "best")
WAYS: ChainMap[str, Any] = ChainMap(
    ESTIMATORS, GRADIENTS
)  # listed from the last: exact gradients first
WEIGHTS = ("none", "balanced")
MOST_STEPS = 2**31 - 1  # what a 32-bit counter holds
LARGEST = float(np.finfo(np.float32).max)


def _setting(
    group: str,
    default: Any,
    text: str,
    minimum: int | float = -math.inf,
    maximum: int | float = math.inf,
    **about: Any,
) -> Any:
    """A field of Config, with everything that its flag needs: the group, the help, the bounds.

    Two more say how it reaches the compiled program. With `traced=True` it is an argument of the
    program, a field of `Hyperparameters`; otherwise another value is another program. `neutral` is
    the value at which a traced term has no effect: the term is left out where the setting is 0.
    """
    about |= {"group": group, "help": text, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=about)


_data, _network = partial(_setting, "data"), partial(_setting, "network")
_training, _number = partial(_setting, "training"), partial(_setting, "training", traced=True)
_distortion = partial(_setting, "augmentation", 0.0, minimum=0.0, traced=True, neutral=0.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything the result of a run depends on. The defaults are the classic run.

    Raises:
        ValueError: in one line, where a value is out of range or two values contradict each other.
    """

    dataset: str = _data("mnist", "mnist, or tfds:NAME for a data set of TensorFlow Datasets")
    data_dir: str | None = _data(
        None, "images and labels, a file or folder (or --data); TFDS's folder"
    )
    train_size: int = _data(10_000, "training images, from the start of the file; or all", 1)
    validation_size: int = _data(10_000, "validation images, from the end of the file", 0)
    invert: bool = _data(False, "invert grey levels: for a white background")
    transpose: bool = _data(False, "exchange rows and columns of images: for EMNIST")
    image_size: int = _data(0, "height and width to resize images to; 0: as they are", 0)
    label_noise: float = _data(0.0, "share of training labels to make wrong at random", 0.0, 1.0)
    label_noise_seed: int = _data(0, "random seed of label_noise", 0)

    hidden: tuple[str | int, ...] = _network(("30",), f"hidden layers, in order: {layers.GRAMMAR}")
    activation: str = _network("sigmoid", "activation of the hidden layers", choices=ACTIVATIONS)
    init: str = _network("lecun_normal", "initialisation of the weights", choices=INITIALIZERS)
    init_scale: float = _network(1.0, "factor on all initial parameters", 0.0, traced=True)

    loss: str = _training("quadratic", "loss function", choices=LOSSES)
    gradients: str = _training("autodiff", "how gradients are computed", choices=WAYS)
    directions: int = _training(1, "random directions a step for forward_gradient, evolution", 1)
    class_weights: str = _training(
        "none", "class weights in the loss; balanced is inverse to the counts", choices=WEIGHTS
    )
    optimizer: str = _training("sgd", "optimizer", choices=OPTIMIZERS)
    learning_rate: float = _number(3.0, "peak learning rate", 0.0)
    schedule: str = _training("constant", "learning rate schedule", choices=SCHEDULES)
    warmup_epochs: float = _training(1.0, "epochs of linear warm-up in warmup_cosine", 0.0)
    momentum: float = _number(0.9, "momentum of the optimizers momentum and nesterov", 0.0, 1.0)
    beta1: float = _number(
        0.0, "decay of adam's mean gradient; 0: optax's own", 0.0, 1.0, neutral=0.0
    )
    beta2: float = _number(
        0.0, "decay of adam's mean square; 0: optax's own", 0.0, 1.0, neutral=0.0
    )
    epsilon: float = _number(0.0, "adam's epsilon; 0: optax's own", 0.0, neutral=0.0)
    weight_decay: float = _number(
        0.0, "decay of weights, not biases; adamw and its like decouple it", 0.0, neutral=0.0
    )
    label_smoothing: float = _number(
        0.0, "share of each label that is spread evenly over all classes", 0.0, 1.0, neutral=0.0
    )
    clip_norm: float = _number(
        0.0, "clip gradients to this global norm; 0: no clipping", 0.0, neutral=math.inf
    )
    average: float = _number(
        0.0, "decay of a moving average of the parameters; 0: none", 0.0, 0.999999, neutral=0.0
    )
    judge: str = _training(
        "auto",
        "parameters to score and keep: of the last epoch, the average, or the epoch with the best "
        "validation accuracy; auto: the average if there is one, else the last",
        choices=JUDGES,
    )
    patience: int = _training(
        0, "stop early after this many epochs without fewer validation errors; 0: never", 0
    )
    precision: str = _training(
        "float32", "precision of products: the same on every device", choices=PRECISIONS
    )
    batch_size: int = _training(10, "images in a batch", 1)
    epochs: int = _training(30, "passes over the training images", 1)
    shards: int = _training(1, "devices that share each batch of this run", 1)
    seed: int = _number(0, "random seed of weights, shuffling and distortions", 0, 2**32 - 1)

    rotate: float = _distortion("rotate images by up to so many degrees, either way")
    scale: float = _distortion("change height and width by up to this share", maximum=0.9)
    shear: float = _distortion("shear by up to so many pixels to the side a pixel down")
    shift: float = _distortion("shift by up to so many pixels along each axis")
    elastic: float = _distortion("standard deviation of a smooth random displacement, in pixels")
    thickness: float = _distortion("make strokes thicker or thinner by up to 1", maximum=1.0)
    fade: float = _distortion(
        "share of the run, at its end, during which distortions shrink to none", maximum=1.0
    )

    def __post_init__(self) -> None:
        if isinstance(self.hidden, tuple):  # ("30",) is (30,)
            object.__setattr__(self, "hidden", tuple(layers.split(self.hidden)))
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> Iterator[str]:
        """What is wrong between settings that are each in range, a line each."""
        words = ",".join(map(str, self.hidden))
        if max(map(len, re.findall(r"\d+", words)), default=0) > 9:
            yield f"hidden={words}: a layer can have at most 999999999 units"
        layers.check(self.hidden)
        batch, images, shards = self.batch_size, self.train_size, self.shards
        if batch > images:
            yield f"batch_size={batch} is larger than train_size={images}"
        if batch % shards or images % shards:
            nearest = [max(1, (n + (shards - 1) // 2) // shards) * shards for n in (batch, images)]
            yield (
                f"batch_size={batch} and train_size={images} must be multiples of shards={shards}: "
                f"the nearest are batch_size={nearest[0]} and train_size={nearest[1]}"
            )
        if self.total_steps > MOST_STEPS:
            yield (
                f"batch_size={batch} and epochs={self.epochs} make {self.total_steps} updates: "
                f"at most {MOST_STEPS} can be counted; choose a larger batch or fewer epochs"
            )
        if self.gradients == "manual" and ACTIVATIONS[self.activation].derivative is None:
            derived = ", ".join(name for name, entry in ACTIVATIONS.items() if entry.derivative)
            yield (
                f"gradients=manual: activation={self.activation} has no hand-written derivative; "
                f"these have one: {derived}"
            )
        for name in NUMBERS:
            if getattr(self, name) and name not in takes(self.optimizer):
                own = ", ".join(takes(self.optimizer)) or "none of its kind"
                yield f"{name}: optimizer={self.optimizer} has no {name}; it takes {own}"
        if self.schedule == "warmup_cosine" and self.warmup_epochs >= self.epochs:
            yield f"warmup_epochs={self.warmup_epochs:g} must be less than epochs={self.epochs}"
        if self.watches_validation and not self.validation_size:
            yield (
                f"judge={self.judge}, patience={self.patience}: comparing epochs needs validation "
                "images, and validation_size=0"
            )
        if self.judge == "average" and not self.average:
            yield "judge=average needs average > 0, as in average=0.99"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """The Config of a dict of settings, as from `dataclasses.asdict` or JSON.

        Settings that are missing have their defaults.

        Raises:
            ValueError: as Config; also where a setting is unknown.
        """
        if not isinstance(values, dict):
            raise ValueError(f"settings are {values!r:.40}: expected names with values")
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        # JSON has no tuples.
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples)

    @property
    def data_settings(self) -> dict[str, Any]:
        """The arguments of `data.load`."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if f.metadata["group"] == "data"}

    @property
    def watches_validation(self) -> bool:
        """Whether validation images decide which epoch is kept or when the run ends."""
        return self.judge == "best" or self.patience > 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; images that do not fill a batch are left out of this epoch."""
        return self.train_size // self.batch_size

    @property
    def warmup_steps(self) -> int:
        """Updates of the linear warm-up."""
        return max(1, round(self.warmup_epochs * self.steps_per_epoch))

    @property
    def total_steps(self) -> int:
        """Updates in the whole run, unless early stopping ends it."""
        return self.epochs * self.steps_per_epoch


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value of a field as Python's own type, where it is one of the field's.

    Raises:
        ValueError: in one line, where it is not.
    """
    about, (kind, told) = field.metadata, TYPES[field.type]
    choices = about.get("choices")
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        raise ValueError(f"{field.name}={value!r}: must be {told}")
    if choices and value not in choices:
        raise ValueError(f"{field.name}={value}: choose one of {', '.join(choices)}")
    if field.type not in (int, float):
        return value
    minimum, maximum = about["minimum"], about["maximum"]
    if not minimum <= value <= maximum or value == math.inf:
        finite = "" if maximum < math.inf or field.type is int else "finite and "
        upper = "" if maximum == math.inf else f" and at most {maximum}"
        raise ValueError(f"{field.name}={value}: must be {finite}at least {minimum}{upper}")
    if field.type is float and value > LARGEST:
        raise ValueError(f"{field.name}={value}: is more than float32 can hold, 3.4e38")
    return int(value) if field.type is int else float(value)


# The traced settings, each with the value at which its term has no effect.
NEUTRAL = {
    field.name: field.metadata.get("neutral")
    for field in dataclasses.fields(Config)
    if "traced" in field.metadata
}
if TYPE_CHECKING:
    Hyperparameters: TypeAlias = Any
else:
    Hyperparameters = namedtuple("Hyperparameters", NEUTRAL)
    Hyperparameters.__doc__ = """The numbers that a compiled program takes as arguments.

    Settings that differ only in them share one program. `None` leaves a term, such as weight decay,
    out of the program.
    """


def hyperparameters(config: Config) -> Hyperparameters:
    """The traced settings of a Config, as scalars: uint32 where they are integers, else float32."""
    return Hyperparameters(
        *(
            None
            if neutral is not None and not value
            else (np.uint32 if isinstance(value, int) else np.float32)(value)
            for neutral, value in ((NEUTRAL[name], getattr(config, name)) for name in NEUTRAL)
        )
    )
