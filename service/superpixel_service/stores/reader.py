"""Answers the calls about stores: what a store says, windows, and measurements of regions."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest, StoreUnreadable
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.source import Window
from superpixel_service.large.store import StoreRegions
from superpixel_service.large.zarr_store import zarr_library
from superpixel_service.model import CacheUse
from superpixel_service.stores.call import StoreCall
from superpixel_service.stores.failures import as_service_error
from superpixel_service.stores.opened import OpenStore, OpenStores
from superpixel_service.work.answer_cache import AnswerCache, Key

MAX_REGIONS = 1024
"""Most ids of a request to measure regions."""

_ATTEMPTS = 3
"""How often a store is opened again if it is replaced while it is read."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A request for a window; the fields are those of `GetWindowRequest`, with `scale` 1 for 0."""

    store: str
    window: Window
    scale: int
    count: int | None
    include_hierarchy: bool
    include_regions: bool
    include_image: bool


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """The answer to a request for a window.

    Attributes:
        spx: the label map.
        count: number of superpixels of the whole image.
        image_png: the pixels; empty: not requested.
    """

    spx: bytes
    count: int
    image_png: bytes

    @property
    def byte_count(self) -> int:
        """Bytes of the answer."""
        return len(self.spx) + len(self.image_png)


class StoreReader:
    """Reads the stores of one server. All methods may be called from any thread.

    Raises:
        LargeFailed: the library of stores is not installed.
    """

    def __init__(self, settings: Settings, tokens: Callable[[], Collection[str]] = lambda: ("",)) -> None:
        """Read stores.

        Args:
            settings: where the stores are, and the limits.
            tokens: returns the names of the tokens whose windows are kept.
        """
        zarr_library()
        self._settings = settings
        self._open = OpenStores(settings.stores, settings.max_store_bytes)
        self._cache: AnswerCache[WindowAnswer] = AnswerCache(settings.store_cache_bytes, tokens)

    @property
    def open_byte_count(self) -> int:
        """Most memory that the open stores take."""
        return self._open.byte_count

    @property
    def cache_byte_count(self) -> int:
        """Bytes of the kept windows."""
        return self._cache.byte_count

    def info(self, call: StoreCall) -> StoreInfo:
        """What the store says about itself.

        Raises:
            ServiceError: why there is no answer.
        """
        with call.stage("open"):
            return self._reading(call.store, lambda opened: opened.store.info)

    def window(self, spec: WindowSpec, call: StoreCall, token: str) -> WindowAnswer:
        """A window, from the cache of the token or from the store.

        Raises:
            ServiceError: why there is no answer.
        """
        answer, key = self._reading(call.store, lambda opened: self._window(opened, spec, call, token))
        # `_reading` has found the store still there; otherwise parts that are gone would be kept as empty.
        if call.cache is CacheUse.MISS:
            self._cache.put(token, key, answer)
        return answer

    def measure(self, ids: Sequence[int], call: StoreCall) -> StoreRegions:
        """Measure regions.

        Raises:
            ServiceError: why there is no answer.
        """
        if len(ids) > MAX_REGIONS:
            raise _too_many_regions(f"must be at most {MAX_REGIONS}, got {len(ids)}")
        return self._reading(call.store, lambda opened: self._measure(opened, ids, call))

    def _reading(self, name: str, read: Callable[[OpenStore], _Result]) -> _Result:
        """Read from the store of this name; again, if it was replaced meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                opened = self._open.get(name)
            except LargeFailed as error:
                raise _known(name, error) from None
            try:
                try:
                    result = read(opened)
                except LargeFailed as error:
                    # A part that is missing or damaged may mean that the whole store is gone.
                    opened.store.check_present()
                    raise _known(name, error) from None
                opened.store.check_present()
            except LargeFailed as error:
                self._open.close(name, opened)
                if error.kind == "replaced":
                    continue
                raise _known(name, error) from None
            return result
        raise StoreUnreadable

    def _window(
        self, opened: OpenStore, spec: WindowSpec, call: StoreCall, token: str
    ) -> tuple[WindowAnswer, Key]:
        """The window, and the key of its place in the cache."""
        info = opened.store.info
        self._check_window(spec, info)
        count = opened.store.count_for(spec.scale) if spec.count is None else _checked_count(spec.count, info)
        call.pixels = spec.window.width * spec.window.height
        caching = self._settings.store_cache_bytes > 0
        # The info is that of the store as it is now, so a window of a replaced store is never found.
        key: Key = (spec, count, repr(info.attributes()))
        found = self._cache.get(token, key) if caching else None
        call.cache = CacheUse.HIT if found else CacheUse.MISS if caching else CacheUse.OFF
        if found is not None:
            return found, key
        with call.stage("open"):
            self._open.check_size(opened)
            with opened.loading:
                _ = opened.store.tree
        with call.stage("window"):
            spx = opened.store.window(
                *spec.window,
                scale=spec.scale,
                count=count,
                include_hierarchy=spec.include_hierarchy,
                include_regions=spec.include_regions,
            )
        image = b""
        if spec.include_image:
            with call.stage("image"):
                image = opened.store.png(spec.window, spec.scale)
        answer = WindowAnswer(spx, count, image)
        self._check_answer(answer)
        return answer, key

    def _measure(self, opened: OpenStore, ids: Sequence[int], call: StoreCall) -> StoreRegions:
        info = opened.store.info
        nodes = 2 * info.base_count - 1
        for index, id_ in enumerate(ids):
            if id_ >= nodes:
                raise InvalidRequest(
                    Reason.REGION_UNKNOWN,
                    f"must be from 0 to {nodes - 1}, got {id_}",
                    field=f"ids[{index}]",
                    metadata={"region_count": str(nodes)},
                )
        with call.stage("open"):
            self._open.check_size(opened)
            with opened.loading:
                leaf_count = opened.store.tree.leaf_count
                opened.store.load_measures()
        if int(leaf_count[np.array(ids, np.int64)].sum(dtype=np.int64)) > info.base_count:
            raise _too_many_regions("must be regions that do not overlap")
        with call.stage("measure"):
            return opened.store.regions(ids)

    def _check_window(self, spec: WindowSpec, info: StoreInfo) -> None:
        if spec.scale not in info.scales:
            scales = ", ".join(map(str, info.scales))
            raise InvalidRequest(
                Reason.SCALE_UNKNOWN,
                f"must be one of {scales}; got {spec.scale}",
                field="scale",
                metadata={"scales": scales},
            )
        x, y, width, height = spec.window
        level_width, level_height = info.level_size(spec.scale)
        if not (0 < width <= level_width - x and 0 < height <= level_height - y):
            raise InvalidRequest(
                Reason.WINDOW_OUTSIDE_STORE,
                f"must be inside the level of {level_width} x {level_height} pixels, and not empty; got "
                f"x {x}, y {y}, width {width}, height {height}",
                field="window",
                metadata={"level_width": str(level_width), "level_height": str(level_height)},
            )
        limit = self._settings.max_window_pixels
        if width * height > limit:
            raise InvalidRequest(
                Reason.WINDOW_TOO_MANY_PIXELS,
                f"must have at most {limit} pixels, has {width * height}",
                field="window",
                metadata={"limit_pixels": str(limit)},
            )

    def _check_answer(self, answer: WindowAnswer) -> None:
        limit = self._settings.max_answer_bytes
        if answer.byte_count > limit:
            raise InvalidRequest(
                Reason.ANSWER_ABOVE_LIMIT,
                f"the answer has {answer.byte_count} bytes; at most {limit} are sent",
                metadata={"limit_bytes": str(limit)},
            )


def _known(name: str, error: LargeFailed) -> Exception:
    """The error for the caller; a failure that is not one of the store is a bug."""
    return as_service_error(name, error) or RuntimeError(str(error))


def _checked_count(count: int, info: StoreInfo) -> int:
    if not 1 <= count <= info.base_count:
        raise InvalidRequest(
            Reason.COUNT_OUT_OF_RANGE if count < 1 else Reason.COUNT_ABOVE_BASE,
            f"must be from 1 to {info.base_count}, got {count}",
            field="count",
            metadata={} if count < 1 else {"base_count": str(info.base_count)},
        )
    return count


def _too_many_regions(text: str) -> InvalidRequest:
    return InvalidRequest(
        Reason.REGIONS_TOO_MANY, text, field="ids", metadata={"limit_regions": str(MAX_REGIONS)}
    )
