"""A Ray cluster of several nodes on this machine, in a process of its own.

`python -m tests.service.ray_cluster NODES` prints the cluster's address. Then it reads commands: `kill` ends
a node as a failing machine would, `add` starts one. End of input ends the cluster.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOOPBACK = "127.0.0.2"
"""Ray would replace 127.0.0.1 by an outer address."""

_NODE: dict[str, Any] = {"object_store_memory": 100 << 20, "node_ip_address": LOOPBACK}


class RayCluster:
    """A running cluster."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._answer()

    def kill_node(self) -> None:
        self._ask("kill")

    def add_node(self) -> None:
        self._ask("add")

    def _ask(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("answer "):
                return line.removeprefix("answer ").strip()
        raise AssertionError("the cluster has ended")


@contextmanager
def ray_cluster(nodes: int, **environment: str) -> Iterator[RayCluster]:
    """A cluster of nodes with one CPU each. The first one, which has none, is where programs connect."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.service.ray_cluster", str(nodes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"RAY_memory_monitor_refresh_ms": "0"} | environment,
    )
    try:
        yield RayCluster(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(120)
        assert process.stdout is not None
        process.stdout.close()


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **_NODE},
    )
    nodes = [_add(cluster) for _ in range(int(sys.argv[1]))]
    cluster.wait_for_nodes()
    print(f"answer {cluster.address}", flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        else:
            nodes.append(_add(cluster))
        print("answer done", flush=True)
    cluster.shutdown()


def _add(cluster: object) -> object:
    return cluster.add_node(num_cpus=1, **_NODE)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
