"""How good, how fast and how small the superpixels are, measured beside other implementations.

`python -m benchmarks` runs every part; README.md says how to run and read them.
"""
