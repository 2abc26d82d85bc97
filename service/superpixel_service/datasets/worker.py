"""Reads and segments images of a data set: on threads, each with an engine of its own."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import superpixel_kernels as kernels
from superpixel_service import client
from superpixel_service.contract import Reason
from superpixel_service.datasets.errors import Unreadable
from superpixel_service.datasets.items import Item, Place
from superpixel_service.datasets.storage import Storage
from superpixel_service.errors import InvalidRequest
from superpixel_service.in_process import FileSegmenter, read_file
from superpixel_service.model import Task

_READERS_PER_ENGINE = 4
"""Reads at the same time per engine, so that a bucket's delay does not stop the engine."""


@dataclass(frozen=True)
class Spec:
    """What to make of every image. It can be pickled.

    Attributes:
        wanted: the keywords of the client's `segment`, without guidance.
        clamp: reduce counts above the number of pixels to it, instead of rejecting the image.
        guidance: the keywords of `client.Guidance` besides the maps.
    """

    wanted: Mapping[str, Any] = field(default_factory=dict)
    clamp: bool = False
    guidance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an image.

    Attributes:
        item: the image.
        error: why it has no label map; empty: it has one.
        spx: the label map, in the SPXL container.
        sha256: of the image file, in hexadecimal; empty: it could not be read.
        size: of the image file, in bytes.
        width, height: of the part that was segmented, in pixels.
        counts: numbers of superpixels of the map's levels, decreasing.
        base_count: number of regions of the base partition.
        seconds: time to decode, segment and encode.
        notices: how the image was read.
    """

    item: Item
    error: str = ""
    spx: bytes = b""
    sha256: str = ""
    size: int = 0
    width: int = 0
    height: int = 0
    counts: tuple[int, ...] = ()
    base_count: int = 0
    seconds: float = 0.0
    notices: tuple[str, ...] = ()


class FileEngine(Protocol):
    """Segments files, one at a time."""

    def segment(self, item: Item, data: bytes, maps: Mapping[str, bytes] | None = None) -> Outcome:
        """Segment an image file. An image that cannot be segmented is an outcome, too.

        Raises:
            DataSetFailed: no image can be segmented.
        """


class Engine:
    """Segments files, one at a time, in this process.

    Args:
        spec: what to make of them.
        backend: "auto", "cpu" or "cuda".
        threads: threads per image, of the backend "cpu".
    """

    def __init__(self, spec: Spec, backend: kernels.Backend = "cpu", threads: int = 1) -> None:
        self._spec = spec
        self._segmenter = FileSegmenter(backend, threads)

    def segment(self, item: Item, data: bytes, maps: Mapping[str, bytes] | None = None) -> Outcome:
        """See `FileEngine`."""
        begin = time.perf_counter()
        outcome = partial(Outcome, item, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        try:
            wanted = dict(self._spec.wanted)
            if maps:
                wanted["guidance"] = client.Guidance(**{**self._spec.guidance, **maps})
            task = accept(data, clamp=self._spec.clamp, wanted=wanted)
            answer = self._segmenter.run(task)
        except (InvalidRequest, client.InvalidRequest) as error:
            return outcome(error=text_of(error))
        except MemoryError:
            return outcome(error="there is not enough memory for this image")
        part = task.region or task.image
        return outcome(
            spx=answer.label_map.data,
            width=part.width,
            height=part.height,
            counts=tuple(answer.counts),
            base_count=answer.base_count,
            seconds=time.perf_counter() - begin,
            notices=tuple(notice.text for notice in answer.notices),
        )


def accept(data: bytes, *, clamp: bool, wanted: dict[str, Any]) -> Task:
    """Accept a file; with `clamp`, no count is above its number of pixels.

    Raises:
        InvalidRequest, superpixel_service.client.InvalidRequest: it cannot be segmented.
    """
    try:
        return read_file(data, **wanted)
    except InvalidRequest as error:
        if not (clamp and error.reason is Reason.COUNT_OUT_OF_RANGE):
            raise
    return read_file(data, **wanted | {"counts": clamped_counts(data, wanted)})


def clamped_counts(data: bytes, wanted: dict[str, Any]) -> list[int]:
    """The counts, but none above the number of pixels.

    Raises:
        InvalidRequest, superpixel_service.client.InvalidRequest: the file cannot be segmented.
    """
    whole = read_file(
        data, **wanted | {"counts": (), "areas": (), "include_hierarchy": True, "guidance": None}
    )
    return sorted({min(count, whole.region_pixels) for count in wanted["counts"]})


class Worker:
    """Reads and segments images, in order, a few ahead.

    Args:
        spec: what to make of the images.
        storage: reads them.
        jobs: engines, each on a thread.
        backend, threads: of each engine.
        engine_of: creates other engines than those of this process.
    """

    def __init__(
        self,
        spec: Spec,
        storage: Storage,
        jobs: int = 1,
        backend: kernels.Backend = "cpu",
        threads: int = 1,
        engine_of: Callable[[], FileEngine] | None = None,
    ) -> None:
        self._engine_of = engine_of or partial(Engine, spec, backend, threads)
        self._storage = storage
        self._jobs = jobs
        self._of_thread = threading.local()
        self._readers = ThreadPoolExecutor(_READERS_PER_ENGINE * jobs, thread_name_prefix="read")
        self._engines = ThreadPoolExecutor(jobs, thread_name_prefix="segment")

    def outcomes(self, items: Iterable[Item], *, ahead: bool = True) -> Iterator[Outcome]:
        """The outcome of each image, in order. Without `ahead` an image is begun when the last one is done.

        Raises:
            DataSetFailed: the source does not answer.
        """
        most = (_READERS_PER_ENGINE + 2) * self._jobs if ahead else 1
        pending: deque[Future[Outcome]] = deque()
        try:
            for item in items:
                read = self._readers.submit(self._read, item)
                pending.append(self._engines.submit(self._segment, item, read))
                if len(pending) >= most:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()

    def _read(self, item: Item) -> tuple[bytes, dict[str, bytes]]:
        if item.error:
            raise Unreadable(item.error)
        data = self._storage.read(item.place.file, item.place.start, item.place.length)
        maps = {name: self._read_first(name, places) for name, places in (item.maps or {}).items()}
        return data, maps

    def _read_first(self, name: str, places: tuple[Place, ...]) -> bytes:
        error: Unreadable | None = None
        for place in places:
            try:
                return self._storage.read(place.file, place.start, place.length)
            except Unreadable as first:
                error = error or first
        tried = ", ".join(place.file for place in places)
        text = f"none of {tried} can be read" if len(places) > 1 else f"{tried}: {error}"
        raise Unreadable(f"guidance.{name}: there is no map for this image: {text}")

    def _segment(self, item: Item, read: Future[tuple[bytes, dict[str, bytes]]]) -> Outcome:
        try:
            data, maps = read.result()
        except Unreadable as error:
            return Outcome(item, str(error))
        if not hasattr(self._of_thread, "engine"):
            self._of_thread.engine = self._engine_of()
        engine: FileEngine = self._of_thread.engine
        return engine.segment(item, data, maps)

    def close(self) -> None:
        """End the threads."""
        for pool in (self._readers, self._engines):
            pool.shutdown(wait=True, cancel_futures=True)


def text_of(error: InvalidRequest | client.InvalidRequest) -> str:
    """The error of an image: of the image itself, or of a parameter or a map, which the text then names."""
    # The text of an error of the client begins with the field.
    text = error.text if isinstance(error, InvalidRequest) else error.message.removeprefix(f"{error.field}: ")
    return text if error.field in ("", "encoded_image", "image") else f"{error.field}: {text}"
