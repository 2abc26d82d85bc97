"""The metrics of calls about stores."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from superpixel_service.model import CacheUse
from superpixel_service.stores.call import STAGES, StoreCall
from superpixel_service.stores.reader import StoreReader

_STAGE_SECONDS = (1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_PIXELS = (1e4, 3e4, 1e5, 3e5, 1e6, 2e6, 5e6, 1e7, 2e7)


class StoreMetrics:
    """Registers the metrics and counts calls. They are there, and 0, on a server without stores too.

    Args:
        registry: gets the metrics.
        reader: the stores; None: the server has none.
    """

    def __init__(self, registry: CollectorRegistry, reader: StoreReader | None) -> None:
        self._stage = Histogram(
            "superpixel_store_stage_duration_seconds",
            "Stages of calls about stores.",
            ("stage",),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._pixels = Histogram(
            "superpixel_store_window_pixels",
            "Pixels of the windows of stores that were sent.",
            buckets=_PIXELS,
            registry=registry,
        )
        self._cache = Counter(
            "superpixel_store_cache_requests",
            "Windows of stores by their source: from the cache, or read now.",
            ("result",),
            registry=registry,
        )
        for stage in STAGES:
            self._stage.labels(stage)
        for result in (CacheUse.HIT, CacheUse.MISS):
            self._cache.labels(result.value)
        registry.register(_Collector(reader))

    def call_ended(self, call: StoreCall) -> None:
        """A call about a store ended."""
        for stage, seconds in call.seconds.items():
            self._stage.labels(stage).observe(seconds)
        if call.pixels:
            self._pixels.observe(call.pixels)
        if call.cache in {CacheUse.HIT, CacheUse.MISS}:
            self._cache.labels(call.cache.value).inc()


class _Collector(Collector):
    def __init__(self, reader: StoreReader | None) -> None:
        self._reader = reader

    def collect(self) -> Iterable[Metric]:
        reader = self._reader
        return (
            GaugeMetricFamily(
                "superpixel_store_bytes",
                "Most bytes that the open stores take in memory.",
                reader.open_byte_count if reader else 0,
            ),
            GaugeMetricFamily(
                "superpixel_store_cache_bytes",
                "Bytes of the kept windows of stores.",
                reader.cache_byte_count if reader else 0,
            ),
        )
