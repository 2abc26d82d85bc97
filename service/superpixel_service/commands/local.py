"""Label maps made in this process."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels.pixels import as_pixels
from superpixel_service import convert
from superpixel_service.client.wire import build_request, read_image_file
from superpixel_service.commands.makers import Made, Parameters, Refused
from superpixel_service.commands.output import reason
from superpixel_service.config import Settings
from superpixel_service.decode import decode, ignore_library_warnings, open_image
from superpixel_service.errors import InvalidRequest
from superpixel_service.orders import Task, accept

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# The user's own files on the user's own machine: only what the engine cannot do is refused. Not by the
# environment, which is the server's.
_LIMITS = Settings.model_construct(max_image_bytes=1 << 30, max_image_pixels=kernels.MAX_PIXELS)


class InProcess:
    """Makes label maps here, of `jobs` images at the same time; 0: one a core."""

    def __init__(self, parameters: Parameters, jobs: int) -> None:
        cores = len(os.sched_getaffinity(0))
        ignore_library_warnings()
        self._parameters = parameters
        self._jobs = jobs or cores
        self._threads = max(1, cores // self._jobs)
        self._own = threading.local()

    def algorithm_version(self) -> int:
        """That of the installed engine."""
        return kernels.ALGORITHM_VERSION

    def make(self, image: Path) -> Made:
        """Decode, segment and encode one image."""
        task = _accepted(image, self._parameters)
        try:
            pixels, notices = decode(task.image, task.region)
            hierarchy = kernels.segment(
                pixels, kernels.SegmentParams(self._parameters.compactness), workspace=self._workspace()
            )
            counts = task.counts or (hierarchy.base_count,)
            spx = hierarchy.encode(
                counts[0],
                include_hierarchy=self._parameters.hierarchy,
                levels=() if self._parameters.hierarchy else counts[1:],
            )
        except InvalidRequest as error:
            raise refusal(image, error.field, error.text) from None
        except MemoryError:
            raise Refused(f"{image}: there is not enough memory for this image") from None
        return Made(spx, hierarchy.base_count, tuple(notice.value for notice in notices))

    def make_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, Made | Refused]]:
        """Make them on threads; the engine lets them run at the same time."""

        def make(image: Path) -> tuple[Path, Made | Refused]:
            try:
                return image, self.make(image)
            except Refused as error:
                return image, error

        return _in_threads(make, iter(images), self._jobs)

    def _workspace(self) -> kernels.Workspace:
        if not hasattr(self._own, "workspace"):
            self._own.workspace = kernels.Workspace(threads=self._threads)
        workspace: kernels.Workspace = self._own.workspace
        return workspace


def _in_threads(
    function: Callable[[_Item], _Result], items: Iterator[_Item], threads: int
) -> Iterator[_Result]:
    """`map` on threads, results as they come; takes no more items in advance than keeps the threads busy."""
    with ThreadPoolExecutor(threads, thread_name_prefix="make") as pool:
        pending = {pool.submit(function, item) for item in islice(items, 2 * threads)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(function, item) for item in islice(items, len(done))}
            yield from (future.result() for future in done)


def read_photo(image: Path) -> NDArray[np.uint8]:
    """The image as it is segmented: (height, width, 3) sRGB, upright, on white.

    Raises:
        Refused: it cannot be read.
    """
    ignore_library_warnings()
    task = _accepted(image, Parameters((), kernels.DEFAULT_COMPACTNESS, hierarchy=True))
    try:
        pixels = as_pixels(decode(task.image, task.region)[0])
    except InvalidRequest as error:
        raise refusal(image, error.field, error.text) from None
    height, width, _ = pixels.shape
    return np.broadcast_to(pixels, (height, width, 3))


def refusal(image: Path, field: str, text: str) -> Refused:
    """A refusal by the contract's terms, in the command's."""
    flags = {"target_counts": "--counts: ", "compactness": "--compactness: "}
    return Refused(f"{image}: {flags.get(field.split('[')[0], '')}{text}")


def _accepted(image: Path, parameters: Parameters) -> Task:
    """The image and what is wanted of it, after every check that the server makes, too."""
    try:
        # As a client would send it and a server would read it.
        request = build_request(
            read_image_file(image),
            counts=parameters.counts,
            compactness=parameters.compactness,
            include_hierarchy=parameters.hierarchy,
        )
        order = convert.read_segment_request(request)
        return accept(order, open_image(order, _LIMITS))
    except OSError as error:
        raise Refused(reason(error, image)) from None
    except InvalidRequest as error:
        raise refusal(image, error.field, error.text) from None
