"""What a run on D devices takes of each: bytes that lie there, and bytes that are sent.

With N training images of H x W pixels, batches of B, P parameters and S bytes of state:

    training images      N/D (H W + 4)       a byte a pixel, and a label of four
    state                S                   parameters 4 P, and what the optimizer keeps of them
    an evaluated split   M/D (H W + 4)       M images of it, rounded up
    while an epoch runs  16 N/D + 12 N/B     the order of images as it is drawn; each step's metrics
                         + 8 P + 4 B/D H W   a gradient twice; a batch as float32
    sent a step          4 P                 one all-reduce of the gradient; a ring sends 2 (D-1)/D
                                             times that (Patarasuk and Yuan, 2009)
    steps an epoch       N/B
"""

import math
from typing import NamedTuple

import jax

from digits_jax.config import Config, hyperparameters
from digits_jax.models import count_parameters
from digits_jax.training import make_training

LABEL_BYTES = 4
ORDER_BYTES, METRIC_BYTES = 16, 12


class Scale(NamedTuple):
    """Of each device; in bytes, but for `steps` (an epoch)."""

    train: int
    state: int
    numbers: int
    evaluation: int
    working: int
    all_reduce: int
    ring: int
    steps: int

    @property
    def arguments(self) -> int:
        """What the compiled epoch reads."""
        return self.train + self.state + self.numbers

    @property
    def resident(self) -> int:
        """What lies on a device while an epoch runs, evaluation splits included."""
        return self.arguments + self.evaluation + self.working

    @property
    def sent_per_epoch(self) -> int:
        """What a device sends in an epoch, by a ring."""
        return self.ring * self.steps


def scale(
    config: Config, image_shape: tuple[int, int], num_classes: int, evaluated: tuple[int, ...] = ()
) -> Scale:
    """The growth of a run of `config`, on as many devices as it has shards; nothing is computed.

    Args:
        config: the run.
        image_shape: height and width of an image, in pixels.
        num_classes: number of classes.
        evaluated: the images of each split that is kept on the devices to be evaluated.
    """
    numbers = hyperparameters(config)
    training = make_training(config, image_shape, num_classes)
    state = jax.eval_shape(training.init, numbers)
    # A key is two words of 32 bits.
    state_bytes = sum(
        8 if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.size * 4
        for leaf in jax.tree.leaves(state)
    )
    # The numbers that an epoch reads: of the others the program has no argument.
    used = [numbers.learning_rate, numbers.weight_decay, numbers.label_smoothing, numbers.clip_norm]
    if config.optimizer in ("momentum", "nesterov"):
        used.append(numbers.momentum)
    devices, pixels = config.shards, math.prod(image_shape)
    image = pixels + LABEL_BYTES
    batch = config.batch_size // devices
    gradient = 4 * count_parameters(state.params)
    return Scale(
        train=config.train_size // devices * image,
        state=state_bytes,
        numbers=4 * sum(number is not None for number in used),
        evaluation=sum(-(-images // devices) * image for images in evaluated),
        working=ORDER_BYTES * config.train_size // devices
        + METRIC_BYTES * config.steps_per_epoch
        + 2 * gradient
        + 4 * batch * pixels,
        all_reduce=gradient,
        ring=round(2 * (devices - 1) / devices * gradient),
        steps=config.steps_per_epoch,
    )
