"""The parts of experiments.sweep: what is varied, its results, their summary and figures."""
