"""Helpers of the tests of the capacity model and of the simulation."""

import math

from benchmarks.load.arrivals import Mix
from benchmarks.load.capacity import Pod, ServiceTime

ONE_SIZE = Mix.parse("1000x1000")
NO_BOUND = 10**9


def erlang_c(servers: int, offered: float) -> float:
    """Share of calls that wait in M/M/c: the textbook formula (Erlang 1917)."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)


def pod(cores: int, seconds: float, max_calls: int = NO_BOUND, max_pixels: int = NO_BOUND * 10**6) -> Pod:
    """A pod that takes `seconds` core seconds for an image of one megapixel."""
    return Pod(cores, max_calls, max_pixels, ServiceTime(0.0, seconds / 1e6), {})
