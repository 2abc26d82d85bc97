"""Headers that say what an answer contains."""

import dataclasses
import json

from superpixel_service.client import Segmentation


def facts_headers(result: Segmentation) -> dict[str, str]:
    """Superpixel-Facts: JSON of counts, size and notices. Server-Timing: the server's stages, in ms."""
    facts = {
        "count": result.count,
        "baseCount": result.base_count,
        "width": result.width,
        "height": result.height,
        "backend": result.backend,
        "algorithmVersion": result.algorithm_version,
        "notices": [notice.message for notice in result.notices],
    }
    timings = dataclasses.asdict(result.timings)
    return {
        "superpixel-facts": json.dumps(facts),  # ASCII
        "server-timing": ", ".join(f"{stage};dur={1000 * seconds:.2f}" for stage, seconds in timings.items()),
    }
