"""What runs in a worker: each function gives functions by name, to be called and timed."""
