"""The page about runs, and its figures."""

from digits_jax.reports.report import Report, make

__all__ = ["Report", "make"]
