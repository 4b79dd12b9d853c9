"""The parts of experiments.train: what a run begins with, and how it reports."""
