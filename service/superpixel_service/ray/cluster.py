"""The connection to a Ray cluster."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import superpixel_kernels as kernels
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.storage import reason

try:
    import ray
    import ray.data
except ImportError:
    raise DataSetFailed(
        "Ray is not installed; it comes with the extra `ray`: pip install 'superpixel-service[ray]'"
    ) from None

_CONNECT_SECONDS = 10.0


def start(address: str | None, cores: int) -> None:
    """Connect to a Ray cluster.

    Args:
        address: HOST:PORT, ray://HOST:PORT or "auto"; None: the cluster that RAY_ADDRESS names, or a new one
            on this machine.
        cores: number of CPUs of a new one.

    Raises:
        DataSetFailed: there is no cluster at this address.
    """
    if ray.is_initialized():
        return
    new = address is None and "RAY_ADDRESS" not in os.environ
    options: dict[str, Any] = {"address": address}
    if address is not None:
        host = _check_reachable(address)
        if host.startswith("127."):  # else Ray looks for a node with this machine's outer address
            options["_node_ip_address"] = host
    if new:  # reachable from this machine alone: Ray asks for no password
        options = {
            "address": "local",
            "num_cpus": cores,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        with _without_native_logs():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # noqa: BLE001 (Ray has many)
        raise DataSetFailed(f"{address or 'Ray'}: no Ray cluster can be reached: {reason(error)}") from None


def _check_reachable(address: str) -> str:
    """Connect once, because Ray itself tries for minutes. Returns the host; empty: `address` names none."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            raise DataSetFailed(f"{address}: no Ray cluster can be reached: {reason(error)}") from None
    return host


@contextmanager
def _without_native_logs() -> Iterator[None]:
    """Keep Ray's C++ parts from writing to standard error, where the command's messages go."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)  # Ray prints that it has set this level
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def cluster_cpus() -> int:
    """Number of CPUs of the cluster now."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def check_version(algorithm_version: int) -> None:
    """Check that this node has the driver's version of the algorithm.

    Raises:
        DataSetFailed: it has another one.
    """
    if algorithm_version != kernels.ALGORITHM_VERSION:
        raise DataSetFailed(
            f"a node has version {kernels.ALGORITHM_VERSION} of the algorithm, and this machine has "
            f"{algorithm_version}; install the same version of superpixel-service on all of them"
        )


def failure_of(error: BaseException) -> DataSetFailed:
    """The error of an actor, as the command shows it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DataSetFailed):
            return DataSetFailed(str(cause), usage=cause.usage)
        cause = getattr(cause, "cause", None) or cause.__cause__
    return DataSetFailed(f"Ray: {reason(error)}")
