"""Image files segmented in this process, with the checks, the decoder and the encoder of the server."""

from dataclasses import dataclass
from typing import TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels.pixels import as_pixels
from superpixel_service import client
from superpixel_service.client import wire
from superpixel_service.errors import InvalidRequest, VersionUnavailable
from superpixel_service.images.decode import decode
from superpixel_service.images.opening import open_task
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.model import Answer, Task
from superpixel_service.resources import usable_cores
from superpixel_service.transport import convert
from superpixel_service.work.segmenter import Segmenter, Workspace

__all__ = ["FileSegmenter", "segment_file"]

FileBytes: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class _Limits:
    """Limits of the engine and of protobuf alone: these are the user's own files and memory."""

    max_image_bytes: int = 1 << 30
    max_image_pixels: int = kernels.MAX_PIXELS


class FileSegmenter:
    """Segments image files, one call at a time. It reuses its memory and threads from call to call.

    Args:
        backend: "auto" for the fastest engine that can run here, "cpu", or "cuda".
        threads: threads per image, of the backend "cpu"; 0: one per core.

    Raises:
        superpixel_kernels.errors.BackendUnavailable: the backend cannot run here.
    """

    def __init__(self, backend: kernels.Backend = "auto", threads: int = 0) -> None:
        ignore_library_warnings()
        workspace: Workspace = (
            kernels.CudaWorkspace()
            if kernels.choose_backend(backend) == "cuda"
            else kernels.Workspace(threads=threads or usable_cores())
        )
        self._segmenter = Segmenter(workspace)

    def segment(self, data: FileBytes, **wanted: Unpack[client.Wanted]) -> client.Segmentation:
        """Segment one image file; arguments and errors as for `segment_file`."""
        try:
            answer = self.run(read_file(data, **wanted))
        except (InvalidRequest, VersionUnavailable) as error:
            kind = client.InvalidRequest if isinstance(error, InvalidRequest) else client.VersionUnavailable
            raise kind(
                error.code,
                f"{error.field}: {error.text}" if error.field else error.text,
                reason=error.reason.value,
                field=error.field,
                metadata=error.metadata,
            ) from None
        return wire.read_response(convert.write_segment_response(answer), request_id="")

    def run(self, task: Task) -> Answer:
        """Segment an accepted file. Errors as for `Segmenter.run`."""
        return self._segmenter.run(task)


def read_file(data: FileBytes, **wanted: Unpack[client.Wanted]) -> Task:
    """Accept an image file and parameters as the server does.

    Raises:
        InvalidRequest, VersionUnavailable: the server would reject them with this error.
        superpixel_service.client.InvalidRequest: a client would not send them.
    """
    request = wire.build_request(bytes(data), **wanted)
    return open_task(convert.read_segment_request(request), _Limits())


def read_pixels(data: FileBytes, *, upright: bool = True) -> NDArray[np.uint8]:
    """The pixels of an image file that the server and `segment_file` segment.

    Args:
        data: the bytes of the file.
        upright: whether to apply the EXIF orientation.

    Returns:
        (height, width, 3) sRGB; transparency over white, 16-bit samples scaled from their robust range.

    Raises:
        InvalidRequest: the file is no image, or damaged.
    """
    return pixels_of(read_file(data, apply_exif_orientation=upright))


def pixels_of(task: Task) -> NDArray[np.uint8]:
    """The pixels that are segmented: (height, width, 3) sRGB, upright; transparency over white.

    Raises:
        InvalidRequest: the image is damaged.
    """
    pixels = as_pixels(decode(task.image, task.region)[0])
    height, width, _ = pixels.shape
    return np.broadcast_to(pixels, (height, width, 3))


def segment_file(
    data: FileBytes,
    *,
    backend: kernels.Backend = "auto",
    threads: int = 0,
    **wanted: Unpack[client.Wanted],
) -> client.Segmentation:
    """Segment one image file in this process: the same result as from a server, without one.

    EXIF orientation, CMYK, 16-bit samples, transparency and animations are treated as by the server.

    Args:
        data: the bytes of a JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF file.
        backend: "auto" for the fastest engine that can run here, "cpu", or "cuda".
        threads: threads of the backend "cpu"; 0: one per core.
        wanted: the keywords of `Client.segment`: counts, areas, compactness, include_hierarchy (default
            True), include_regions, region_of_interest, apply_exif_orientation (default True),
            first_frame_only, guidance, mask, required_algorithm_version, sample_range.

    Raises:
        superpixel_service.client.InvalidRequest: the file or a parameter is wrong; `field` names which.
        superpixel_service.client.VersionUnavailable: the engine has another version than is required.
        superpixel_kernels.errors.BackendUnavailable: the backend cannot run here.
        MemoryError: there is no memory for this image.
    """
    return FileSegmenter(backend, threads).segment(data, **wanted)
