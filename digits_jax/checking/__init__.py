"""Is a gradient, a layer's pullback or a derivative right; if not, which mistake explains it?

    assert check_layer(mine).ok, check_layer(mine)

Everything is compared in float64 with reverse mode of the same forward function, on small inputs of
several shapes; central differences are the third witness. What is checked may be written in NumPy
and plain loops. What was not checked is not ok.
"""

from digits_jax.checking.entries import calls, check_activation, check_layer, check_loss
from digits_jax.checking.findings import Checked, Finding, leaves
from digits_jax.checking.networks import check_gradient

__all__ = [
    "Checked",
    "Finding",
    "calls",
    "check_activation",
    "check_gradient",
    "check_layer",
    "check_loss",
    "leaves",
]
