"""The sections of `experiments.benchmark`: what is measured, how, and what is made of it."""
