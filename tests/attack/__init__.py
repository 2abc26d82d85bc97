"""Attacks on real servers beside a victim who sends photographs: `python -m tests.attack` (`make attack`)."""
