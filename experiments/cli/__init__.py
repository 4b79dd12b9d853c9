"""What the scripts share: flags, devices, jobs, signals, the compilation cache."""
