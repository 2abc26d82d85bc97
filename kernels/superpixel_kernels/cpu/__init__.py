"""The C++ engine (module `_engine`): the same bits as the CUDA engine, on any CPU."""
