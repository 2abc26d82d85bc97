"""Load on a server: how many calls it can answer, how long callers wait, and how many pods a load needs.

`python -m benchmarks.load` measures a server. `python -m benchmarks.load.simulate` simulates an autoscaler.
docs/capacity.md shows the results of both.
"""
