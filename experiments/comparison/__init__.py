"""The parts of `experiments.compare_gradients`: one table each, and how they are written down."""
