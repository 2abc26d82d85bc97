"""Chooses who makes label maps: this process, or a server. The maps are equal."""

from superpixel_service.commands.label_maps import Maker, Parameters
from superpixel_service.commands.target import Target


def choose(parameters: Parameters, server: Target | None, jobs: int = 0) -> Maker:
    """The maker of label maps.

    Args:
        parameters: what is wanted of every image.
        server: the server to use; None: this process.
        jobs: images in work at the same time; 0: the default of the maker.
    """
    # Imported on demand: each loads much that the other does not need.
    if server is None:
        from superpixel_service.commands.local import InProcess

        return InProcess(parameters, jobs)
    from superpixel_service.commands.remote import OnServer

    return OnServer(parameters, server, jobs)
