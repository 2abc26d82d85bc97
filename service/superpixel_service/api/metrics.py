"""The Prometheus metrics of the HTTP API. Every label value comes from a closed set."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from superpixel_service.http.guard import Ended

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_BYTES = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8)
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS"})
_OTHER = "other"


class HttpMetrics:
    """Metrics of requests.

    Args:
        registry: gets the metrics.
        paths: the API's paths; any other counts as "other".
    """

    def __init__(self, registry: CollectorRegistry, paths: Iterable[str]) -> None:
        self._registry = registry
        self._paths = frozenset(paths)
        self._requests = Counter(
            "superpixel_http_requests",
            "Ended requests, by the status of the response; 0: none was sent.",
            ("path", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "superpixel_http_request_seconds",
            "From the arrival of a request's head to the end of its response.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._received = Histogram(
            "superpixel_http_request_bytes",
            "Bytes of the bodies received.",
            ("path",),
            buckets=_BYTES,
            registry=registry,
        )
        self._sent = Histogram(
            "superpixel_http_response_bytes",
            "Bytes of the bodies sent.",
            ("path",),
            buckets=_BYTES,
            registry=registry,
        )

    def ended(self, request: Ended) -> None:
        """A request has ended."""
        path = request.path if request.path in self._paths else _OTHER
        method = request.method if request.method in _METHODS else _OTHER
        self._requests.labels(path, method, str(request.status)).inc()
        self._seconds.labels(path).observe(request.seconds)
        self._received.labels(path).observe(request.received_bytes)
        self._sent.labels(path).observe(request.sent_bytes)

    def watch(self, state: Callable[[], "dict[str, float]"]) -> None:
        """Read these gauges when Prometheus asks; `state` returns their values by the names of `GAUGES`."""
        self._registry.register(_Gauges(state))


GAUGES = {
    "superpixel_http_open_calls": "Requests that wait for the server, or for a turn to ask it.",
    "superpixel_http_open_selects": "Requests of smart select in work or waiting.",
    "superpixel_http_upload_bytes": "Bytes of the uploads in memory.",
    "superpixel_http_kept_maps": "Maps kept for smart select.",
    "superpixel_http_kept_bytes": "Memory that the kept maps are counted with, in bytes.",
}


class _Gauges(Collector):
    def __init__(self, state: Callable[[], dict[str, float]]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        for name, value in self._state().items():
            yield GaugeMetricFamily(name, GAUGES[name], value)
