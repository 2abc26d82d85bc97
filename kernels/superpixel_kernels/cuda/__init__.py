"""The CUDA engine: a kernel for every stage (`*.cu`), and beside each file the Python that launches it (`*.py`)."""
