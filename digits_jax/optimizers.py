"""Optimizers and learning-rate schedules by name, as optax gradient transformations.

All numbers of an optimizer may be traced; `None` leaves weight decay or clipping out.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax
from jaxtyping import Float

Number: TypeAlias = float | Float[Any, ""]
LearningRate: TypeAlias = Number | Callable[[Any], Any]
# From learning rate, momentum, weight decay, and those of `NUMBERS` that are given.
MakeOptimizer: TypeAlias = Callable[..., optax.GradientTransformation]

# From warm-up and total updates to a factor in [0, 1] of a learning rate that may be traced.
SCHEDULES: dict[str, Callable[[int, int], optax.Schedule]] = {
    "constant": lambda warmup_steps, total_steps: optax.constant_schedule(1.0),
    "cosine": lambda warmup_steps, total_steps: optax.cosine_decay_schedule(1.0, total_steps),
    "warmup_cosine": lambda warmup_steps, total_steps: optax.warmup_cosine_decay_schedule(
        0.0, 1.0, warmup_steps, total_steps
    ),
}


def make_learning_rate(
    name: str, peak: Number, warmup_steps: int, total_steps: int
) -> LearningRate:
    """The learning rate as a function of the updates made before, or `peak` where it is constant.

    Args:
        name: a key of `SCHEDULES`.
        peak: the largest learning rate.
        warmup_steps: length of the linear warm-up from 0, in updates.
        total_steps: the update at which cosine decay reaches 0.
    """
    if name == "constant":  # as a schedule it would make optax count updates
        return peak
    factor = SCHEDULES[name](warmup_steps, total_steps)
    return lambda step: peak * factor(step)


def weights_only(params: Any) -> Any:
    """True for weight matrices, False for bias vectors: weight decay leaves biases alone."""
    return jax.tree.map(lambda parameter: parameter.ndim > 1, params)


# The numbers of an optimizer that are left to optax unless given, with optax's names of them.
NUMBERS = {"beta1": ("b1", "beta"), "beta2": ("b2", "decay"), "epsilon": ("eps",)}


def _numbers(make: Callable[..., Any]) -> dict[str, str]:
    """Those of `NUMBERS` that a constructor of optax takes, with its own name of each."""
    there = inspect.signature(make).parameters
    found = {name: [own for own in names if own in there] for name, names in NUMBERS.items()}
    return {name: own[0] for name, own in found.items() if own}


def _coupled(make: Callable[..., optax.GradientTransformation]) -> MakeOptimizer:
    """Weight decay as an L2 penalty: its gradient is added before the optimizer sees the sum."""

    def optimizer(
        learning_rate: LearningRate,
        momentum: Number,
        weight_decay: Number | None,
        **numbers: Number,
    ) -> optax.GradientTransformation:
        own = {"momentum": momentum} if make in (momentum_sgd, nesterov_sgd) else {}
        own |= {_numbers(make)[name]: value for name, value in numbers.items()}
        update = make(learning_rate, **own)
        if weight_decay is None:
            return update
        return optax.chain(optax.add_decayed_weights(weight_decay, weights_only), update)

    return optimizer


def _decoupled(make: Callable[..., optax.GradientTransformation]) -> MakeOptimizer:
    """Weight decay beside the optimizer's own update (Loshchilov and Hutter, 2019)."""

    def optimizer(
        learning_rate: LearningRate,
        momentum: Number,
        weight_decay: Number | None,
        **numbers: Number,
    ) -> optax.GradientTransformation:
        decay = 0.0 if weight_decay is None else weight_decay
        own = {_numbers(make)[name]: value for name, value in numbers.items()}
        return make(learning_rate, weight_decay=decay, mask=weights_only, **own)

    return optimizer


def momentum_sgd(learning_rate: LearningRate, momentum: Number) -> optax.GradientTransformation:
    """Heavy-ball momentum (Polyak, 1964)."""
    return optax.sgd(learning_rate, momentum)


def nesterov_sgd(learning_rate: LearningRate, momentum: Number) -> optax.GradientTransformation:
    """Momentum that looks one step ahead (Sutskever et al., 2013)."""
    return optax.sgd(learning_rate, momentum, nesterov=True)


def muon(
    learning_rate: LearningRate,
    weight_decay: Number,
    mask: Callable[[Any], Any],
    beta: Number = 0.95,
    eps: Number = 1e-8,
) -> optax.GradientTransformation:
    """A step along the momentum of each matrix with its singular values made nearly equal.

    Newton and Schulz's iteration makes them so without a decomposition (Jordan et al., Muon, 2024).
    Its elements are as large, on average, as Adam's tend to be (Liu et al., Muon is scalable for
    LLM training, 2025, section 2.2); Adam with Nesterov's momentum moves the biases.
    """
    return optax.contrib.muon(
        learning_rate,
        beta=beta,
        eps=eps,
        weight_decay=weight_decay,
        weight_decay_mask=mask,
        consistent_rms=0.2,
    )


# Those of optax that need nothing but gradients and parameters; an older optax may lack some.
_COUPLED = {"sgd": optax.sgd, "momentum": momentum_sgd, "nesterov": nesterov_sgd}
_COUPLED |= {
    name: getattr(optax, name)
    for name in (
        *("adam", "adabelief", "adadelta", "adagrad", "adamax", "amsgrad", "fromage", "nadam"),
        *("novograd", "radam", "rmsprop", "sign_sgd", "sm3", "yogi"),
    )
    if hasattr(optax, name)
}
_DECOUPLED = {"adamw": optax.adamw, "lion": optax.lion, "muon": muon}
_DECOUPLED |= {
    name: getattr(optax, name)
    for name in ("adamaxw", "adan", "lamb", "nadamw")
    if hasattr(optax, name)
}
OPTIMIZERS: dict[str, MakeOptimizer] = {
    **{name: _coupled(make) for name, make in _COUPLED.items()},
    **{name: _decoupled(make) for name, make in _DECOUPLED.items()},
}


def takes(name: str) -> tuple[str, ...]:
    """Those of `NUMBERS` that an optimizer takes; one that a user registered, none."""
    make = (_COUPLED | _DECOUPLED).get(name)
    return tuple(_numbers(make)) if make else ()


def make_optimizer(
    name: str,
    learning_rate: LearningRate,
    momentum: Number = 0.9,
    weight_decay: Number | None = None,
    clip_norm: Number | None = None,
    **numbers: Number | None,
) -> optax.GradientTransformation:
    """Clipping by global norm (Pascanu et al., 2013), then the optimizer with its weight decay.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: a number or a schedule over updates.
        momentum: decay of the running sum of gradients, for `momentum` and `nesterov`.
        weight_decay: decoupled from the gradient in `adamw` and its like, else an L2 penalty.
        clip_norm: the largest norm that all gradients together may have.
        numbers: those of `NUMBERS`; `None` leaves one to optax.
    """
    given = {key: number for key, number in numbers.items() if number is not None}
    optimizer = OPTIMIZERS[name](learning_rate, momentum, weight_decay, **given)
    if clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
