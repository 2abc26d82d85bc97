"""`superpixel health`: ask a server whether it accepts work, for the health checks of containers."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from superpixel_service.commands.output import EXIT_FAILED, EXIT_OK, CommandFailed, write


def run(*, address: str, service: str, timeout: float) -> int:
    """Print the server's health status. The exit status is 0 for SERVING, 1 for anything else."""
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.RpcError as error:
            raise CommandFailed(f"{address}: {_reason(error, service, timeout)}") from None
    write(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    return EXIT_OK if answer.status == health_pb2.HealthCheckResponse.SERVING else EXIT_FAILED


def _reason(error: grpc.RpcError, service: str, timeout: float) -> str:
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return "no server answers there"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {timeout:g} seconds"
    if code is grpc.StatusCode.NOT_FOUND:
        return f"this server has no service {service!r}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "this gRPC server has no health service"
    return f"the health check failed with {code.name}"
