"""What a pod should be given, by the model that was fitted to a measured server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.load.arrivals import Mix
from benchmarks.load.capacity import Pod

HEADROOM = 0.8
"""Of the highest load within the target: where the autoscaler keeps a pod. The rest is for what comes before
it has looked."""

MOST_CALLS = 128
"""Each holds a thread, and memory for a largest message."""

_MEBI = 1 << 20
_SERVER_BYTES = 300 * _MEBI
_BYTES_A_PIXEL = 48
_OTHER_THREADS = 16


@dataclass(frozen=True, slots=True)
class Advice:
    """For a pod of `cores` cores.

    Attributes:
        highest: calls a second with p99 within the target.
        working: calls a second at which the autoscaler is to keep it.
        p99: seconds, there.
        queue_pixels: that wait there, in the mean.
        queue_target: at which the autoscaler adds pods, see `advise`.
        utilization: of its cores, there.
    """

    cores: int
    highest: float
    working: float
    p99: float
    queue_pixels: float
    queue_target: float
    utilization: float
    max_calls: int
    max_pixels: int
    memory_bytes: int

    def lines(self) -> list[str]:
        """As deploy/ has it."""
        memory = f"{math.ceil(self.memory_bytes / (512 * _MEBI)) * 512}Mi"
        return [
            "# deploy/base/kustomization.yaml, superpixel-settings",
            f"- SUPERPIXEL_WORKERS={self.cores}",
            f"- SUPERPIXEL_THREADS_PER_IMAGE={self.cores}",
            f"- SUPERPIXEL_MAX_INFLIGHT_PIXELS={self.max_pixels}",
            f"- SUPERPIXEL_MAX_INFLIGHT_CALLS={self.max_calls}",
            "# deploy/base/deployment.yaml, resources",
            f'requests: {{cpu: "{self.cores}", memory: {memory}}}',
            f'limits: {{cpu: "{self.cores + 1}", memory: {memory}}}',
            "# deploy/base/hpa.yaml",
            f"averageUtilization: {round(100 * self.utilization)}",
            "# deploy/components/queue-autoscaling",
            f"averageValue: {_short(self.queue_target)}",
        ]


def advise(measured: Pod, mix: Mix, target: float, cores: int, settings: Mapping[str, str]) -> Advice | None:
    """For a pod of so many cores of the measured kind; None: no load is within the target.

    The bounds: as many calls as can be done within the target, so that what is admitted is answered in time,
    but no more than `MOST_CALLS`; as many pixels, but room for the largest image and a fifth.

    The processor's metric keeps the pods at the working load; the queue's is for what comes suddenly, and
    tells sooner. Its target is the geometric mean of the queues at the working and at the highest load: at
    the former's, chance alone would add pods (a minute's mean of a short queue scatters); at the latter's,
    they would come late.

    Args:
        measured: a pod of any number of cores.
        mix: of images.
        target: seconds, of p99.
        cores: of the pod.
        settings: of deploy/base: the largest image and the cache.
    """
    calls = min(MOST_CALLS, cores + math.floor(target * cores / measured.service.mean(mix)))
    largest = int(settings["SUPERPIXEL_MAX_IMAGE_PIXELS"])
    rounded = math.ceil(calls * mix.mean_pixels / 1e6) * 1_000_000
    pod = replace(measured, cores=cores, max_calls=calls, max_pixels=max(rounded, largest * 6 // 5))
    highest = pod.highest_rate(mix, target)
    if highest == 0:
        return None
    working = HEADROOM * highest
    threads = calls + int(settings["SUPERPIXEL_MAX_STREAMS"]) + _OTHER_THREADS
    return Advice(
        cores=cores,
        highest=highest,
        working=working,
        p99=pod.percentile(working, mix, 99),
        queue_pixels=pod.queue_pixels(working, mix),
        queue_target=math.sqrt(pod.queue_pixels(working, mix) * pod.queue_pixels(highest, mix)),
        utilization=pod.queue(working, mix).utilization,
        max_calls=calls,
        max_pixels=pod.max_pixels,
        memory_bytes=_SERVER_BYTES
        + _BYTES_A_PIXEL * pod.max_pixels
        + threads * (int(settings["SUPERPIXEL_MAX_IMAGE_BYTES"]) + _MEBI)
        + int(settings["SUPERPIXEL_CACHE_BYTES"]),
    )


def _short(pixels: float) -> str:
    """A Kubernetes quantity of two digits."""
    return f"{round(pixels / 1e5) * 100}k"
