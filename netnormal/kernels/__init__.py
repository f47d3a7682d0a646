"""Every numba function: arrays in, arrays out, nothing else."""
