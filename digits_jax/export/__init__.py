"""A trained model as one HTML page, as ONNX and as StableHLO."""

from digits_jax.export.source import Source, read, shipped

__all__ = ["Source", "read", "shipped"]
