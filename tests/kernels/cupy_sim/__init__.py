"""Real CuPy on the simulated device: a fake CUDA runtime and driver below it (`make test-cupy-sim`)."""
