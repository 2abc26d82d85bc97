"""The attacker's process: `python -m tests.attack.process NAME`, with the target on standard input."""

import json
import subprocess
import sys
from typing import Self

from tests.attack.catalogue import BY_NAME, Attack
from tests.attack.target import Facts, run

_PATIENCE_SECONDS = 300.0


class Attacker:
    """Runs an attack in a process of its own."""

    def __init__(self, attack: Attack, target: dict[str, object]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.process", attack.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(target) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:  # closes the pipes
            pass

    def prepare(self) -> None:
        """Wait until the attack has what it needs, such as its files."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "prepared\n", "the attack could not be prepared"

    def attack(self) -> Facts:
        """Let the attack begin, and wait until it is over; what it saw."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        status = self._process.wait(_PATIENCE_SECONDS)
        assert status == 0, f"the attack ended with status {status}"
        facts: Facts = json.loads(text)
        return facts


if __name__ == "__main__":
    run(BY_NAME[sys.argv[1]].run)
