"""Loaded by schemathesis: image files and the id of a kept map, which random texts hardly ever are."""

import os
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies

from superpixel_kernels import segment
from tests.api.conftest import IMAGE, PIXELS
from tests.service.guidance_maps import EDGES, FEW
from tests.service.images import encoded, scene

IMAGES = [
    IMAGE,
    encoded(scene(20, 15, seed=3), "JPEG"),
    encoded(scene(1, 1, seed=4)),
    encoded(scene(16, 9, seed=5), "WEBP"),
]
OTHERS = [encoded(EDGES), encoded(FEW.astype(np.uint8)), segment(PIXELS).encode(40), b"", b"no image"]

for kind in ("avif", "bmp", "gif", "jpeg", "png", "tiff", "webp"):
    schemathesis.openapi.media_type(f"image/{kind}", strategies.sampled_from(IMAGES))
schemathesis.openapi.media_type("application/octet-stream", strategies.sampled_from([*IMAGES, *OTHERS]))


@schemathesis.hook
def before_call(_context: object, case: Any, _arguments: object) -> None:
    """Most requests of smart select name the kept map."""
    if case.operation.path == "/v1/select" and isinstance(case.body, dict):
        name = case.body.get("map")
        if isinstance(name, str) and len(name) % 4:
            case.body["map"] = os.environ["SUPERPIXEL_TEST_MAP"]
