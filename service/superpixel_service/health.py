"""The standard health service, on threads that no amount of work can take away from it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer  # type: ignore[import-untyped]

from superpixel_service.interceptors import SERVICE
from superpixel_service.pools import answered_by

SERVICE_NAME = "grpc.health.v1.Health"

# A probe takes microseconds; a second thread is for a probe that comes while another one is being answered.
_THREADS = 2


class Health:
    """What `grpc.health.v1.Health` answers, for the server ("") and for our service by name.

    Attributes:
        pool: the threads that answer, also where the service is added to a server with threads of its own.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="health")
        # Watch pushes changes and holds no thread.
        self._servicer = HealthServicer(experimental_non_blocking=True, experimental_thread_pool=self.pool)
        self._servicer.Check = answered_by(self.pool, self._servicer.Check)
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def add_to(self, server: grpc.Server) -> None:
        """Answer on `server` too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set(self, checks: Mapping[str, bool]) -> None:
        """Serving if all checks are well. While it drains, the server is not serving whatever they say."""
        well = all(checks.values())
        status = health_pb2.HealthCheckResponse
        self._set(status.SERVING if well else status.NOT_SERVING)

    def drain(self) -> None:
        """The server is about to stop; nothing makes it healthy again."""
        self._servicer.enter_graceful_shutdown()

    def _set(self, status: int) -> None:
        for name in (OVERALL_HEALTH, SERVICE):
            self._servicer.set(name, status)
