"""A server as the engine of a data set's run."""

from superpixel_service.commands.output import CommandFailed
from superpixel_service.commands.remote import TIMEOUT_SECONDS, ask_info, connect, failure
from superpixel_service.commands.target import Target
from superpixel_service.datasets.remote import ServerEngine
from superpixel_service.datasets.worker import Spec


def server_engine(
    server: Target, spec: Spec, retry_for: float, *, with_guidance: bool
) -> tuple[ServerEngine, tuple[int, int | None]]:
    """Connect to a server.

    Returns:
        The engine; the server's versions of the algorithm and of guidance.

    Raises:
        CommandFailed: the server does not answer, or does not know guidance.
    """
    client = connect(server, timeout=TIMEOUT_SECONDS)
    info = ask_info(client, server.address)
    if with_guidance and info.guidance_version is None:
        raise CommandFailed(f"{server.address}: this server does not know guidance")
    engine = ServerEngine(
        client, spec, info.algorithm_version, retry_for, lambda error: failure(server.address, error)
    )
    return engine, (info.algorithm_version, info.guidance_version)
