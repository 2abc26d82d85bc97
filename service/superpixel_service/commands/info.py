"""`superpixel info`: print version, engines and limits of this installation or of a server."""

import dataclasses
import platform

import superpixel_kernels as kernels
from superpixel_service import __version__
from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, write_facts, write_json
from superpixel_service.commands.target import Target
from superpixel_service.resources import usable_cores


def run(*, server: Target | None, store: str, json: bool) -> int:
    """Print the information.

    Raises:
        CommandFailed: there is a store but no server, or the call failed.
    """
    if store and server is None:
        raise CommandFailed("--store: needs --server", status=EXIT_USAGE)
    facts = _local() if server is None else _of_server(server, store)
    if json:
        write_json(facts)
    else:
        write_facts(facts)
    return EXIT_OK


def _local() -> dict[str, object]:
    return {
        "version": __version__,
        "algorithm_version": kernels.ALGORITHM_VERSION,
        "guidance_version": kernels.GUIDANCE_VERSION,
        "backends": kernels.available_backends(),
        "instruction_sets": kernels.available_instruction_sets(),
        "cores": usable_cores(),
        "max_image_pixels": kernels.MAX_PIXELS,
        "compactness_range": (0.0, kernels.MAX_COMPACTNESS),
        "compactness_default": kernels.DEFAULT_COMPACTNESS,
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def _of_server(server: Target, store: str) -> dict[str, object]:
    # Imported on demand: `_local` does not need them.
    from superpixel_service.client import RetryPolicy
    from superpixel_service.commands.remote import ask_info, ask_store, connect

    with connect(server, timeout=10.0, retry=RetryPolicy(max_attempts=1)) as client:
        found = ask_store(client, server.address, store) if store else ask_info(client, server.address)
        return dataclasses.asdict(found)
