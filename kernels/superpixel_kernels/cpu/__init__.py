"""The C++ engine (module `_engine`): the same results as the CUDA engine, on any CPU."""
