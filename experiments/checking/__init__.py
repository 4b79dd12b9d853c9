"""The parts of `experiments.check_gradients`."""
