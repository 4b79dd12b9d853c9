"""Images and labels: from files to `Splits`."""

from digits_jax.data.dataset import Dataset, Splits
from digits_jax.data.loading import load, outline

__all__ = ["Dataset", "Splits", "load", "outline"]
