"""Every test runs with the shapes in signatures checked, and no implicit rank promotion."""

import jax
from jaxtyping import install_import_hook

# Modules imported from here on check their jaxtyping annotations at every call.
install_import_hook(["digits_jax", "experiments"], "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
