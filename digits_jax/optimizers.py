"""Optimizers and learning-rate schedules by name, as optax gradient transformations.

Learning rate, momentum, weight decay and clipping norm may be traced numbers; `None` leaves decay
or clipping out.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax
from jaxtyping import Float

Number: TypeAlias = float | Float[Any, ""]
LearningRate: TypeAlias = Number | Callable[[Any], Any]
MakeOptimizer: TypeAlias = Callable[
    [LearningRate, Number, Number | None], optax.GradientTransformation
]

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


def _coupled(make: Callable[[LearningRate, Number], optax.GradientTransformation]) -> MakeOptimizer:
    """Weight decay as an L2 penalty: its gradient is added before the optimizer sees the sum."""

    def optimizer(
        learning_rate: LearningRate, momentum: Number, weight_decay: Number | None
    ) -> optax.GradientTransformation:
        update = make(learning_rate, momentum)
        if weight_decay is None:
            return update
        return optax.chain(optax.add_decayed_weights(weight_decay, weights_only), update)

    return optimizer


def _decoupled(make: Callable[..., optax.GradientTransformation]) -> MakeOptimizer:
    """Weight decay beside the optimizer's own update (Loshchilov and Hutter, 2019)."""

    def optimizer(
        learning_rate: LearningRate, momentum: Number, weight_decay: Number | None
    ) -> optax.GradientTransformation:
        decay = 0.0 if weight_decay is None else weight_decay
        return make(learning_rate, weight_decay=decay, mask=weights_only)

    return optimizer


def muon(
    learning_rate: LearningRate, weight_decay: Number, mask: Callable[[Any], Any]
) -> optax.GradientTransformation:
    """A step along the momentum of each matrix with its singular values made nearly equal.

    Newton and Schulz's iteration makes them so without a decomposition (Jordan et al., Muon, 2024).
    Its elements are as large, on average, as Adam's tend to be (Liu et al., Muon is scalable for
    LLM training, 2025, section 2.2); Adam with Nesterov's momentum moves the biases.
    """
    return optax.contrib.muon(
        learning_rate, weight_decay=weight_decay, weight_decay_mask=mask, consistent_rms=0.2
    )


OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": _coupled(lambda learning_rate, momentum: optax.sgd(learning_rate)),
    "momentum": _coupled(lambda learning_rate, momentum: optax.sgd(learning_rate, momentum)),
    "nesterov": _coupled(
        lambda learning_rate, momentum: optax.sgd(learning_rate, momentum, nesterov=True)
    ),
    "adam": _coupled(lambda learning_rate, momentum: optax.adam(learning_rate)),
    "adamw": _decoupled(optax.adamw),
    "lion": _decoupled(optax.lion),
    "muon": _decoupled(muon),
}


def make_optimizer(
    name: str,
    learning_rate: LearningRate,
    momentum: Number = 0.9,
    weight_decay: Number | None = None,
    clip_norm: Number | None = None,
) -> optax.GradientTransformation:
    """Clipping by global norm (Pascanu et al., 2013), then the optimizer with its weight decay.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: a number or a schedule over updates.
        momentum: decay of the running sum of gradients, for `momentum` and `nesterov`.
        weight_decay: an L2 penalty in all but `adamw`, `lion` and `muon`, where it is decoupled.
        clip_norm: the largest norm that all gradients together may have.
    """
    optimizer = OPTIMIZERS[name](learning_rate, momentum, weight_decay)
    if clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
