"""Quality, speed and size of the superpixels, compared with other implementations.

`python -m benchmarks` runs the benchmarks; README.md says how to run and read them.
"""
