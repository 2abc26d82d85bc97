"""Run attacks and print a table: `python -m tests.attack --seconds 10 --out test-output/attack`.

The attacker, the victim and the servers share this machine, so the victim's times include what the attacker's
own work takes from it. Exit status 1: an attack was not withstood.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.attack.catalogue import ATTACKS, BY_NAME
from tests.attack.measure import Result, measure
from tests.attack.report import as_json, markdown, verdict


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each attack (default 10)")
    parser.add_argument("--only", nargs="+", choices=BY_NAME, metavar="NAME", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--out", type=Path, default=Path("test-output/attack"), help="folder of the tables")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for attack in [BY_NAME[name] for name in options.only] if options.only else ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(attack, options.seconds, Path(folder)))
        print(f"{attack.name}: {verdict(results[-1])}", file=sys.stderr, flush=True)
        (options.out / "attack.md").write_text(markdown(results))
        (options.out / "attack.json").write_text(as_json(results))
    print(f"load average at the end: {os.getloadavg()[0]:.1f}\n")
    print(markdown(results))
    return 1 if any(result.faults or result.late for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
