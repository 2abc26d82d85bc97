"""Segments images in this process."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_service import client
from superpixel_service.client.wire import read_image_file
from superpixel_service.commands.label_maps import ImageRejected, ImageResult, Parameters, rejection
from superpixel_service.commands.output import reason
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.mask_files import decode_mask
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.in_process import FileSegmenter, pixels_of, read_file
from superpixel_service.model import Task
from superpixel_service.resources import usable_cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class LocalSegmenter:
    """Segments images in this process, `jobs` of them at the same time; with `jobs` 0, one per core."""

    def __init__(self, parameters: Parameters, jobs: int) -> None:
        cores = usable_cores()
        self._parameters = parameters
        self._jobs = jobs or cores
        self._threads = max(1, cores // self._jobs)
        self._of_thread = threading.local()

    def algorithm_version(self) -> int:
        """The version of the installed engine."""
        return kernels.ALGORITHM_VERSION

    def guidance_version(self) -> int:
        """The version of guidance of the installed engine."""
        return kernels.GUIDANCE_VERSION

    def segment(self, image: Path) -> ImageResult:
        """Decode, segment and encode one image."""
        task = _accept(image, self._parameters)
        try:
            answer = self._segmenter().run(task)
        except InvalidRequest as error:
            raise rejection(image, error.field, error.text) from None
        except MemoryError:
            raise ImageRejected(f"{image}: there is not enough memory for this image") from None
        notices = tuple(notice.text for notice in answer.notices)
        return ImageResult(answer.label_map.data, answer.counts, answer.base_count, notices)

    def segment_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, ImageResult | ImageRejected]]:
        """Segment images on threads, in parallel: the engine releases the interpreter lock."""

        def segment(image: Path) -> tuple[Path, ImageResult | ImageRejected]:
            try:
                return image, self.segment(image)
            except ImageRejected as error:
                return image, error

        return _map_on_threads(segment, iter(images), self._jobs)

    def _segmenter(self) -> FileSegmenter:
        if not hasattr(self._of_thread, "segmenter"):
            self._of_thread.segmenter = FileSegmenter("cpu", self._threads)
        segmenter: FileSegmenter = self._of_thread.segmenter
        return segmenter


def _map_on_threads(
    function: Callable[[_Item], _Result], items: Iterator[_Item], threads: int
) -> Iterator[_Result]:
    """Map on threads. Results come as they finish. At most two items per thread are read ahead."""
    with ThreadPoolExecutor(threads, thread_name_prefix="segment") as pool:
        pending = {pool.submit(function, item) for item in islice(items, 2 * threads)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(function, item) for item in islice(items, len(done))}
            yield from (future.result() for future in done)


def read_photo(image: Path, parameters: Parameters) -> NDArray[np.uint8]:
    """Read an image file: the pixels that `pixels_of` gives.

    Raises:
        ImageRejected: the image cannot be read.
    """
    ignore_library_warnings()
    task = _accept(image, parameters.without_targets())
    try:
        return pixels_of(task)
    except InvalidRequest as error:
        raise rejection(image, error.field, error.text) from None


def clamp_counts(image: Path, parameters: Parameters) -> Parameters:
    """The parameters with no count above the number of pixels that are segmented.

    Raises:
        ImageRejected: the image or the mask cannot be read.
    """
    task = _accept(image, parameters.without_targets())
    if task.mask is None:
        return parameters.clamped(task.region_pixels)
    try:
        return parameters.clamped(int(np.count_nonzero(decode_mask(task.mask, task.region, None))))
    except InvalidRequest as error:
        raise rejection(image, error.field, error.text) from None


def _accept(image: Path, parameters: Parameters) -> Task:
    """Read the file and make all checks that a server makes."""
    # The number of pixels inside a mask is known only after the mask is decoded.
    if parameters.mask and parameters.clamp and parameters.counts:
        parameters = replace(clamp_counts(image, parameters), clamp=False)
    try:
        return read_file(read_image_file(image), **parameters.wanted(image))
    except OSError as error:
        raise ImageRejected(reason(error, image)) from None
    except client.InvalidRequest as error:  # of a map of guidance, or of the mask
        raise rejection(image, error.field, error.message.removeprefix(f"{error.field}: ")) from None
    except InvalidRequest as error:
        if parameters.clamp and parameters.counts and error.reason is Reason.COUNT_OUT_OF_RANGE:
            return _accept(image, replace(clamp_counts(image, parameters), clamp=False))
        raise rejection(image, error.field, error.text) from None
