"""What `train` checks before it begins, where `--entries` may have a part in the gradient."""

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.gradients import GRADIENTS
from digits_jax.losses import LOSSES
from digits_jax.training import make_model
from experiments.cli import entries
from experiments.cli.flags import FLAGS


def check_own_gradient(config: Config, splits: Splits) -> None:
    """Checks a gradient by hand on a batch in float64; without `--entries` it does nothing.

    Raises:
        ValueError: in one line, if it is wrong; not with `--unchecked`.
    """
    exact = config.gradients in GRADIENTS and config.gradients != "autodiff"
    if not (exact and entries.given()) or FLAGS.unchecked:
        return
    from digits_jax import checking  # which a run without entries does not need

    shapes = splits.image_shape, splits.num_classes
    problem = make_model(config, *shapes), LOSSES[config.loss], *shapes
    found = checking.check_gradient(GRADIENTS[config.gradients], *problem, config.gradients)
    if not found.findings:
        raise ValueError(f"gradients={config.gradients}: {'; '.join(found.notes)}")
    if found.wrong:
        first = str(found.wrong[0]).removeprefix("WRONG  ")
        raise ValueError(
            f"gradients={config.gradients} is wrong: {first} (python -m experiments."
            "check_gradients says more; --unchecked trains with it all the same)"
        )
