"""Event files, which TensorBoard shows: what metrics.csv holds, and norms by layer.

With jax 0.10.2 the model is the same to the byte with them as without; jax 0.12 may round
otherwise.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from digits_jax.models import Params
from digits_jax.runs.programs import Epoch

EVENT_FILES = "events.out.tfevents.*"


def check_installed() -> None:
    """Checks that event files can be written.

    Raises:
        ValueError: where tensorboardX is missing; the message names the extra to install.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ValueError(
            "--tensorboard needs tensorboardX: pip install -e '.[tensorboard]'"
        ) from None


@contextlib.contextmanager
def writing(directory: Path, done: int) -> Iterator[Callable[[Epoch], None]]:
    """Gives a function that writes an epoch into an event file in `directory`.

    Args:
        directory: an existing folder.
        done: epochs made before. TensorBoard drops what an interrupted run wrote of later ones.
    """
    from tensorboardX import SummaryWriter

    # File names count whole seconds: the suffix keeps the file of a run stopped in the same one.
    writer = SummaryWriter(
        str(directory), purge_step=done + 1 if done else None, filename_suffix=f".{done:06}"
    )

    def write(epoch: Epoch) -> None:
        row = epoch.row
        scalars = {
            "loss/train": row.train_loss,
            "loss/validation": row.validation_loss,
            "accuracy/train": row.train_accuracy,
            "accuracy/validation": row.validation_accuracy,
            "learning_rate": row.learning_rate,
        }
        for layer, norm in enumerate(epoch.gradient_norms or ()):
            scalars[f"gradient_norm/layer_{layer}"] = norm
        for layer, norm in enumerate(parameter_norms(epoch.state.params)):
            scalars[f"parameter_norm/layer_{layer}"] = norm
        for tag, value in scalars.items():
            if value is not None:
                writer.add_scalar(tag, value, row.epoch)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


def parameter_norms(params: Params) -> tuple[float, ...]:
    """The Euclidean norm of each layer with parameters, all of them together."""
    return tuple(
        float(np.sqrt(sum(np.square(leaf, dtype=np.float64).sum() for leaf in leaves)))
        for leaves in filter(None, map(jax.tree.leaves, jax.device_get(params)))
    )
