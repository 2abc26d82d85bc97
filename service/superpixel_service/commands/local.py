"""Label maps made in this process."""

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
from superpixel_service.client.wire import read_image_file
from superpixel_service.commands.label_maps import Made, Parameters, Refused, refusal
from superpixel_service.commands.output import reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode, ignore_library_warnings
from superpixel_service.in_process import FileSegmenter, read_file
from superpixel_service.model import Task
from superpixel_service.resources import usable_cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class InProcess:
    """Makes label maps here, of `jobs` images at the same time; 0: one per core."""

    def __init__(self, parameters: Parameters, jobs: int) -> None:
        cores = usable_cores()
        self._parameters = parameters
        self._jobs = jobs or cores
        self._threads = max(1, cores // self._jobs)
        self._own = threading.local()

    def algorithm_version(self) -> int:
        """The version of the installed engine."""
        return kernels.ALGORITHM_VERSION

    def make(self, image: Path) -> Made:
        """Decode, segment and encode one image."""
        task = _accepted(image, self._parameters)
        try:
            answer = self._segmenter().run(task)
        except InvalidRequest as error:
            raise refusal(image, error.field, error.text) from None
        except MemoryError:
            raise Refused(f"{image}: there is not enough memory for this image") from None
        notices = tuple(notice.value for notice in answer.notices)
        return Made(answer.label_map.data, answer.base_count, notices)

    def make_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, Made | Refused]]:
        """Make them on threads; the engine releases the interpreter's lock."""

        def make(image: Path) -> tuple[Path, Made | Refused]:
            try:
                return image, self.make(image)
            except Refused as error:
                return image, error

        return _in_threads(make, iter(images), self._jobs)

    def _segmenter(self) -> FileSegmenter:
        if not hasattr(self._own, "segmenter"):
            self._own.segmenter = FileSegmenter("cpu", self._threads)
        segmenter: FileSegmenter = self._own.segmenter
        return segmenter


def _in_threads(
    function: Callable[[_Item], _Result], items: Iterator[_Item], threads: int
) -> Iterator[_Result]:
    """`map` on threads, results as they come; reads only as many items ahead as keep the threads busy."""
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


def _accepted(image: Path, parameters: Parameters) -> Task:
    """The image and what is wanted of it, after every check that the server makes too."""
    try:
        return read_file(
            read_image_file(image),
            counts=parameters.counts,
            compactness=parameters.compactness,
            include_hierarchy=parameters.hierarchy,
        )
    except OSError as error:
        raise Refused(reason(error, image)) from None
    except InvalidRequest as error:
        raise refusal(image, error.field, error.text) from None
