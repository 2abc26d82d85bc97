"""Load on a server: how much it takes, how long callers wait, how many pods that makes.

`python -m benchmarks.load` measures a server, `python -m benchmarks.load.simulate` an autoscaler on paper;
docs/capacity.md says what came of both.
"""
