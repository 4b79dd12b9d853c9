"""The parts of `experiments.benchmark`: who takes part, the loop, the tables."""
