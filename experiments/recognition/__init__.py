"""Parts of experiments/recognise.py."""
