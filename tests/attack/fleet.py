"""Attacks on one of several servers."""

import os
import signal

from tests.attack.target import Facts, Target


def stopped_server(target: Target) -> Facts:
    """One of three servers hangs (SIGSTOP); the victim's client balances over them."""
    target.begin()
    os.kill(target.processes[0], signal.SIGSTOP)
    target.wait(target.seconds)
    os.kill(target.processes[0], signal.SIGCONT)
    return {}
