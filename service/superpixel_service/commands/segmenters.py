"""Chooses what segments images for a command: this process or a server. Both give the same label maps."""

from superpixel_service.commands.label_maps import ImageSegmenter, Parameters
from superpixel_service.commands.target import Target


def choose_segmenter(
    parameters: Parameters, server: Target | None, jobs: int = 0, retry_for: float = 0.0
) -> ImageSegmenter:
    """Create the segmenter.

    Args:
        parameters: the parameters for every image.
        server: the server to use; None: this process.
        jobs: images in work at the same time; 0: the segmenter's default.
        retry_for: seconds to wait for a server that stopped answering during `segment_many`.
    """
    # Imported on demand: each loads modules that the other does not need.
    if server is None:
        from superpixel_service.commands.local import LocalSegmenter

        return LocalSegmenter(parameters, jobs)
    from superpixel_service.commands.remote import RemoteSegmenter

    return RemoteSegmenter(parameters, server, jobs, retry_for)
