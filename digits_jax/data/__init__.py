"""Images and labels: from files to `Splits`."""

from digits_jax.data.dataset import Dataset, Splits
from digits_jax.data.loading import count, load, outline

__all__ = ["Dataset", "Splits", "count", "load", "outline"]
