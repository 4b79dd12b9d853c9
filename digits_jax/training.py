"""Training as pure functions: a step, an epoch (a `lax.scan` of steps), a run (one of epochs)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int32, Key

from digits_jax import gradients, layers
from digits_jax.activations import ACTIVATIONS
from digits_jax.augmentation import distort, distortions
from digits_jax.config import Config, Hyperparameters
from digits_jax.data.dataset import Dataset, check_labels
from digits_jax.estimators import ESTIMATORS
from digits_jax.evaluation import Metrics, dtype_of, make_evaluate, scale_pixels
from digits_jax.layers import State
from digits_jax.losses import LOSSES, smooth, weighted
from digits_jax.models import INITIALIZERS, Model, Params, Weights, fitted, stack
from digits_jax.optimizers import NUMBERS, LearningRate, make_learning_rate, make_optimizer
from digits_jax.precision import pinned

# The purposes of a run's random keys; and of the second one, whose others are numbers of epochs.
INIT, SHUFFLE, ESTIMATE = 0, 1, 2
DISTORT, DROP = 2**32 - 1, 2**32 - 2


class Best(NamedTuple):
    """The epoch with the fewest validation errors so far, the first of equals.

    `params` are the parameters after that epoch, if the run is judged by them.
    """

    errors: Int32[Array, ""]
    epoch: Int32[Array, ""]
    params: Weights | None


class TrainState(NamedTuple):
    """What a step hands to the next. `step` counts updates.

    `key` draws the order of images, their distortions and what layers draw. `average`, where there
    is one, is the running mean of the parameters and of the network's state; `best` is there where
    the run depends on it. `network` is the state of the layers, such as running statistics.
    """

    params: Params
    opt_state: optax.OptState
    step: Int32[Array, ""]
    key: Key[Array, ""]
    average: Weights | None = None
    best: Best | None = None
    network: State = ()

    @property
    def current(self) -> Weights:
        """The parameters that are scored after an epoch: their mean, or the last."""
        return fitted(self.params, self.network) if self.average is None else self.average

    @property
    def judged(self) -> Weights:
        """The parameters that the run ends with: of its best epoch, or the current ones."""
        kept = self.best and self.best.params
        return self.current if kept is None else kept


class TrainMetrics(NamedTuple):
    """Mean loss and accuracy of a batch before its update, and the learning rate of the update.

    `gradient_norms`, if asked for: one for each layer that has parameters, before clipping.
    For an epoch: means over its batches, and the learning rate of its last update.
    """

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    learning_rate: Float[Array, ""]
    gradient_norms: tuple[Float[Array, ""], ...] | None = None


class Training(NamedTuple):
    """The pure functions of one Config; its numbers come in as arguments, to be mapped over."""

    model: Model
    gradient: Callable[[Hyperparameters, Int32[Array, ""]], gradients.ValueAndGrad]
    init: Callable[[Hyperparameters], TrainState]
    start: Callable[[Hyperparameters, Params], TrainState]
    train_step: Callable[[Hyperparameters, TrainState, Dataset], tuple[TrainState, TrainMetrics]]
    epoch: Callable[[Hyperparameters, TrainState, Dataset], tuple[TrainState, TrainMetrics]]
    evaluate: Callable[[Weights, Dataset], Metrics]
    keep_best: Callable[[TrainState, Metrics], TrainState]
    out_of_patience: Callable[[TrainState], Bool[Array, ""]]
    run: Callable[
        [Hyperparameters, Dataset, Dataset | None],
        tuple[TrainState, tuple[TrainMetrics, Metrics | None]],
    ]


def make_model(
    config: Config, image_shape: tuple[int, int], num_classes: int, axis: str | None = None
) -> Model:
    """The network of a Config for images of `image_shape` pixels.

    With `axis`, a mesh axis over which every batch is spread, statistics are of the whole batch.

    Raises:
        ValueError: in one line, where the images leave nothing for one of its layers.
    """
    activation = layers.activation(config.activation, ACTIVATIONS[config.activation])
    initializer = INITIALIZERS[config.init]
    return stack(
        config.hidden, activation, image_shape, num_classes, initializer, axis, config.precision
    )


def product_flops(config: Config, image_shape: tuple[int, int] = (28, 28)) -> int:
    """Floating-point operations of the products in a step: of each layer's forward and pullback.

    A layer of k x n weights that is applied at m places multiplies and adds k n m numbers an image,
    forward, for dC/dW and for dC/da. 0 where the images leave nothing for one of its layers.
    """

    def weights(noise: Any) -> int:
        if isinstance(noise, tuple) and noise and all(isinstance(n, int) for n in noise):
            return math.prod(noise)
        return sum(map(weights, noise))

    try:
        shape: layers.Shape = (1, *image_shape)
        total = 0
        for layer in make_model(config, image_shape, 10).layers:
            noise, shape = layer.shapes(shape)
            total += weights(noise) * math.prod(shape[1:])
    except ValueError:
        return 0
    return 6 * config.batch_size * total


def shuffle(key: Key[Array, ""], count: int) -> Int32[Array, " count"]:
    """A random order of `count` images: that of as many random numbers of 32 bits.

    A radix sort, from the lowest digit on: XLA's CPU backend sorts an array of numbers six times as
    fast as numbers together with their indices, so each digit is sorted in one word with its index.
    """
    bits = jax.random.bits(key, (count,))
    index = jnp.arange(count, dtype=jnp.uint32)
    index_bits = (count - 1).bit_length()
    order = index
    for shift in range(0, 32, 32 - index_bits):
        digit = (bits[order] >> shift) << index_bits
        order = order[jnp.sort(digit | index) & ((1 << index_bits) - 1)]
    return order.astype(jnp.int32)


def balanced_weights(
    labels: Int32[Array, " n"], num_classes: int, axis: str | None = None
) -> Float[Array, " classes"]:
    """n / (classes * count of the class): each class weighs the same, and the mean weight is 1.

    As scikit-learn's `balanced`, after King and Zeng, Logistic regression in rare events data,
    2001. With `axis`, labels are a part of those that are spread over this mesh axis.
    """
    counts = jnp.bincount(labels, length=num_classes)
    if axis is not None:
        counts = jax.lax.psum(counts, axis)  # type: ignore[no-untyped-call]
    return jnp.sum(counts) / (num_classes * jnp.maximum(counts, 1))


def running_mean(
    mean: Weights, weights: Weights, decay: Float[Array, ""], step: Int32[Array, ""]
) -> Weights:
    """The mean of the parameters after steps 1 to t, those of step i weighing decay^(t - i).

    Running statistics are averaged alike: the mean of z = W a is linear in W, so that a mean of
    such means belongs to the mean of the W, while those of the last W do not.

    Averages of the last iterates are nearer to the optimum than any of them (Polyak and Juditsky,
    Acceleration of stochastic approximation by averaging, 1992). Weights that sum to 1 from the
    first step on are what Kingma and Ba (Adam, 2015, section 3) call a corrected bias.
    """
    weight = (1 - decay) / (1 - decay**step)
    after: Weights = jax.tree.map(lambda m, p: m + weight * (p - m), mean, weights)
    return after


def make_training(
    config: Config,
    image_shape: tuple[int, int],
    num_classes: int,
    value_and_grad: gradients.ValueAndGrad | None = None,
    gradient_norms: bool = False,
    axis: str | None = None,
) -> Training:
    """Everything that a run of `config` computes, not yet compiled.

    Args:
        config: the run.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        value_and_grad: the gradient to train with; by default the one that `config` names.
        gradient_norms: whether metrics hold the norm of each layer's gradient.
        axis: a mesh axis over which every batch is spread: gradients are averaged over it.

    `run` repeats the scores of a run's last epoch for those that patience leaves out.
    """
    model = make_model(config, image_shape, num_classes, axis)
    evaluate = make_evaluate(model, LOSSES[config.loss])

    def learning_rate(hyperparameters: Hyperparameters) -> LearningRate:
        peak = hyperparameters.learning_rate
        return make_learning_rate(config.schedule, peak, config.warmup_steps, config.total_steps)

    def optimizer(hyperparameters: Hyperparameters) -> optax.GradientTransformation:
        return make_optimizer(
            config.optimizer,
            learning_rate(hyperparameters),
            hyperparameters.momentum,
            hyperparameters.weight_decay,
            hyperparameters.clip_norm,
            **{name: getattr(hyperparameters, name) for name in NUMBERS},
        )

    def gradient(
        hyperparameters: Hyperparameters, step: Int32[Array, ""], weights: Array | None = None
    ) -> gradients.ValueAndGrad:
        own = value_and_grad
        if own is None:
            loss = LOSSES[config.loss]
            if hyperparameters.label_smoothing is not None:
                loss = smooth(loss, hyperparameters.label_smoothing)
            if weights is not None:
                loss = weighted(loss, weights)
            if estimator := ESTIMATORS.get(config.gradients):
                # Not of `state.key`, which is another on each shard: all have to draw the same.
                key = jax.random.fold_in(jax.random.key(hyperparameters.seed), ESTIMATE)
                own = estimator(model, loss, key, step, config.directions)
            else:
                own = gradients.GRADIENTS[config.gradients](model, loss)
        return own if axis is None else gradients.averaged(own, axis)

    def init(hyperparameters: Hyperparameters) -> TrainState:
        key = jax.random.key(hyperparameters.seed)
        params = model.init(jax.random.fold_in(key, INIT))
        params = jax.tree.map(lambda parameter: hyperparameters.init_scale * parameter, params)
        return start(hyperparameters, params)

    def start(hyperparameters: Hyperparameters, params: Params) -> TrainState:
        opt_state = optimizer(hyperparameters).init(params)
        key = jax.random.fold_in(jax.random.key(hyperparameters.seed), SHUFFLE)
        network = model.state()
        weights = fitted(params, network)
        average = None if hyperparameters.average is None or config.judge == "last" else weights
        best = None
        if config.watches_validation:
            kept = weights if config.judge == "best" else None
            best = Best(jnp.int32(2**31 - 1), jnp.int32(0), kept)
        return TrainState(params, opt_state, jnp.int32(0), key, average, best, network)

    @pinned(config.precision)  # the products of distortions and of the optimizer
    def train_step(
        hyperparameters: Hyperparameters,
        state: TrainState,
        batch: Dataset,
        class_weights: Float[Array, " classes"] | None = None,
    ) -> tuple[TrainState, TrainMetrics]:
        images = scale_pixels(batch.images, dtype_of(state.params))
        left = (config.total_steps - state.step) / config.total_steps
        if (amounts := distortions(hyperparameters, left)) is not None:
            key = jax.random.fold_in(jax.random.fold_in(state.key, DISTORT), state.step)
            images = distort(key, images, amounts)
        value_and_grad = gradient(hyperparameters, state.step, class_weights)
        network: State = state.network
        if model.draws or jax.tree.leaves(network):
            key = jax.random.fold_in(jax.random.fold_in(state.key, DROP), state.step)
            value, grads = value_and_grad(state.params, images, batch.labels, network, key)
            loss, (logits, network) = value
        else:
            (loss, logits), grads = value_and_grad(state.params, images, batch.labels)
        updates, opt_state = optimizer(hyperparameters).update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            weights = fitted(params, network)
            average = running_mean(average, weights, hyperparameters.average, state.step + 1)
        rate = learning_rate(hyperparameters)
        metrics = TrainMetrics(
            loss=loss,
            accuracy=jnp.mean(jnp.argmax(logits, axis=-1) == batch.labels),
            learning_rate=jnp.asarray(rate(state.step) if callable(rate) else rate),
            gradient_norms=tuple(optax.tree.norm(grad) for grad in grads if jax.tree.leaves(grad))
            if gradient_norms
            else None,
        )
        after = state._replace(
            params=params,
            opt_state=opt_state,
            step=state.step + 1,
            average=average,
            network=network,
        )
        return after, metrics

    def epoch(
        hyperparameters: Hyperparameters, state: TrainState, dataset: Dataset
    ) -> tuple[TrainState, TrainMetrics]:
        check_labels(dataset.labels, num_classes)
        count, *shape = dataset.images.shape
        if tuple(shape) != image_shape:
            raise ValueError(f"images are {tuple(shape)} pixels, the network is for {image_shape}")
        if axis is None and count != config.train_size:
            raise ValueError(f"{count} training images, and train_size={config.train_size}")
        dataset = jax.tree.map(jnp.asarray, dataset)  # NumPy's arrays take no traced index
        # The epoch folded in, no key split: a resumed run draws what an unbroken one draws.
        key = jax.random.fold_in(state.key, state.step // config.steps_per_epoch)
        permutation = shuffle(key, len(dataset.labels))
        used = config.steps_per_epoch * config.batch_size
        batches = permutation[:used].reshape(config.steps_per_epoch, config.batch_size)

        class_weights = None
        if config.class_weights == "balanced":
            class_weights = balanced_weights(dataset.labels, num_classes, axis)

        def step(state: TrainState, rows: Array) -> tuple[TrainState, TrainMetrics]:
            batch = Dataset(dataset.images[rows], dataset.labels[rows])
            return train_step(hyperparameters, state, batch, class_weights)

        with jax.named_scope("steps"):  # by which a compiled program's loop is found
            state, metrics = jax.lax.scan(step, state, batches)
        means = jax.tree.map(jnp.mean, metrics)
        return state, means._replace(learning_rate=metrics.learning_rate[-1])

    def keep_best(state: TrainState, validation: Metrics) -> TrainState:
        if state.best is None:
            return state
        errors, epoch = validation.errors.astype(jnp.int32), state.step // config.steps_per_epoch
        now = Best(errors, epoch, None if state.best.params is None else state.current)
        better = errors < state.best.errors
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, state.best)
        return state._replace(best=best)

    def out_of_patience(state: TrainState) -> Bool[Array, ""]:
        if state.best is None or not config.patience:
            return jnp.array(False)
        passed = state.step // config.steps_per_epoch - state.best.epoch
        enough: Array = jnp.greater_equal(passed, config.patience)
        return enough

    def run(
        hyperparameters: Hyperparameters, train: Dataset, validation: Dataset | None = None
    ) -> tuple[TrainState, tuple[TrainMetrics, Metrics | None]]:
        Scores = tuple[TrainMetrics, Metrics | None]
        if validation is not None and not len(validation.labels):
            validation = None

        def one_epoch(state: TrainState, _: None) -> tuple[TrainState, Scores]:
            state, metrics = epoch(hyperparameters, state, train)
            if validation is None:
                return state, (metrics, None)
            scored = evaluate(state.current, validation)
            return keep_best(state, scored), (metrics, scored)

        state = init(hyperparameters)
        if not config.watches_validation:
            return jax.lax.scan(one_epoch, state, length=config.epochs)
        if validation is None:
            raise ValueError(f"judge={config.judge}, patience={config.patience}: no validation")

        def epoch_or_none(
            before: tuple[TrainState, Scores], _: None
        ) -> tuple[tuple[TrainState, Scores], Scores]:
            def another() -> tuple[TrainState, Scores]:
                return one_epoch(before[0], None)

            after = jax.lax.cond(out_of_patience(before[0]), lambda: before, another)
            return after, after[1]

        # Outside of the loop: what it carries are then figures of a run, in every sharding.
        first = one_epoch(state, None)
        (state, _), later = jax.lax.scan(epoch_or_none, first, length=config.epochs - 1)
        history: Scores = jax.tree.map(
            lambda one, rest: jnp.concatenate([one[None], rest]), first[1], later
        )
        return state, history

    return Training(
        model, gradient, init, start, train_step, epoch, evaluate, keep_best, out_of_patience, run
    )
