"""What runs in a worker: modules whose `prepare` gives functions to be called and timed."""
