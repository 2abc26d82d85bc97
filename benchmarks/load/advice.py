"""Recommended settings of a pod, by the model that was fitted to a measured server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.load.arrivals import Mix
from benchmarks.load.capacity import Pod
from superpixel_service.budgets import needed_bytes

HEADROOM = 0.8
"""The autoscaler keeps a pod at this share of the highest load within the target. The rest is for load that
comes before the autoscaler reacts."""

MOST_CALLS = 128
"""Each call occupies one thread, and memory for a message of the largest size."""

_MEBI = 1 << 20
_OTHER_THREADS = 16


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommended settings of a pod.

    Attributes:
        cores: number of cores.
        highest: most calls per second with p99 within the target.
        working: calls per second at which the autoscaler should keep the pod.
        p99: seconds, at the working load.
        queue_pixels: mean number of waiting pixels at the working load.
        queue_target: the autoscaler's target for the waiting pixels, see `advise`.
        utilization: of the cores, at the working load.
        max_calls: largest number of calls in flight.
        max_pixels: largest number of pixels in flight.
        memory_bytes: for the pod's memory limit.
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
        """Return the settings as they are written in deploy/."""
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
    """Recommend the settings of a pod; None if no load is within the target.

    Calls in flight: as many as the cores can answer within the target, and at most `MOST_CALLS`, so that
    admitted calls are answered in time. Pixels in flight: those of as many mean images, and at least 1.2
    times the largest image.

    The autoscaler has two metrics. The processor's keeps the pods at the working load. The queue's reacts
    sooner to a burst. Its target is the geometric mean of the queues at the working and at the highest load:
    at the working load's queue, random variation alone would add pods (a short queue's mean over a minute
    scatters much); at the highest load's, pods would be added late.

    Args:
        measured: the measured pod, with any number of cores.
        mix: image sizes and their shares.
        target: seconds, of p99.
        cores: of the recommended pod.
        settings: of deploy/base, for the largest image, the streams, and the parts of the memory.
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
        memory_bytes=needed_bytes(
            workers=cores,
            images=int(settings["SUPERPIXEL_MAX_INFLIGHT_MEMORY_BYTES"]),
            messages=int(settings["SUPERPIXEL_MAX_INFLIGHT_BYTES"]),
            unsent=int(settings["SUPERPIXEL_MAX_UNSENT_BYTES"]),
            calls=calls,
            cache=int(settings["SUPERPIXEL_CACHE_BYTES"]),
            arriving=threads * (int(settings["SUPERPIXEL_MAX_IMAGE_BYTES"]) + _MEBI),
        ),
    )


def _short(pixels: float) -> str:
    """Return a Kubernetes quantity, rounded to 100,000 pixels."""
    return f"{round(pixels / 1e5) * 100}k"
