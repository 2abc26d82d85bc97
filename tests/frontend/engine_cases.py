"""Images, options and the label maps that the engine in WebAssembly must give, byte for byte."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import Guidance, SegmentParams, segment
from superpixel_kernels.codec import Provenance
from tests.kernels import golden, golden_guidance, guided, images

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
Options = dict[str, Any]


def cases() -> Iterator[tuple[str, NDArray[np.uint8], Options]]:
    """Name, image and options; `golden` are the sums of the algorithm page: base, and maps by count."""
    for row in golden.ROWS:
        sums = {str(count): value for count, value in row.maps if count <= row.regions}
        options = {"compactness": row.compactness, "golden": {"base": row.base, "maps": sums}}
        yield f"golden {row}", row.pixels(), options
    for guided_row in golden_guidance.ROWS:
        pixels, arguments = guided_row.pixels(), guided_row.guidance()
        sums = {str(count): value for count, value in guided_row.maps if count <= guided_row.regions}
        sums = {"base": guided_row.base, "maps": sums}
        yield f"golden {guided_row.name}", pixels, {"guidance": arguments, "golden": sums}
    for name in ("astronaut", "coffee", "chelsea"):
        photo = np.asarray(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"))
        yield name, photo, {"area": 64.0, "regions": True}
    yield "one pixel", images.noise(1, 1), {"regions": True}
    yield "a row", images.noise(300, 1), {"count": 20}
    yield "flat", images.flat(70, 50), {"regions": True, "count": 1}
    yield "gray", images.gray(90, 61), {"regions": True, "compactness": 0}
    yield "rgba", images.rgba(90, 61), {"regions": True, "compactness": 100}
    yield "primaries", images.primaries(211, 97), {"area": 40.0}
    # Every width up to a few vectors, and every step of the grid.
    for width in range(2, 41):
        yield f"width {width}", images.noise(width, 7, width), {}
    for width, height in ((389, 301), (401, 399), (470, 461), (523, 449)):
        yield f"step at {width}x{height}", images.primaries(width, height), {"area": 64.0}
    random = np.random.default_rng(5)
    for number in range(6):
        height, width = (int(side) for side in random.integers(20, 90, 2))
        arguments = guided.any_guidance(random, height, width)
        yield (
            f"guided {number}",
            images.noise(width, height, number),
            {"guidance": arguments, "regions": True},
        )


def write(folder: Path) -> None:
    """Write the cases: cases.json, and the arrays and containers that it names."""
    listed = []
    for name, pixels, options in cases():
        stem = f"{len(listed)}"
        (folder / f"{stem}.pixels").write_bytes(np.ascontiguousarray(pixels).tobytes())
        height, width = pixels.shape[:2]
        arguments = options.pop("guidance", None)
        guidance = None if arguments is None else guided.guidance_of(arguments)
        (folder / f"{stem}.spx").write_bytes(_container(pixels, options, guidance))
        maps = None if guidance is None else _write_maps(guidance, folder, stem)
        listed.append({"name": name, "width": width, "height": height, "guidance": maps, **options})
    (folder / "cases.json").write_text(json.dumps(listed))


def _container(pixels: NDArray[np.uint8], options: Options, guidance: Guidance | None) -> bytes:
    """The bytes that the service sends for the image, with the SHA-256 of its pixels."""
    hierarchy = segment(pixels, SegmentParams(options.get("compactness", 10.0)), guidance=guidance)
    height, width = hierarchy.shape
    wanted = options.get("count", hierarchy.base_count)
    if "area" in options:
        wanted = max(1, int(height * width / options["area"] + 0.5))
    fitted = None if guidance is None else guidance.fitted(height, width)
    provenance = Provenance(
        compactness=hierarchy.params.compactness,
        position=(0, 0),
        picture_size=(width, height),
        image_sha256=hashlib.sha256(pixels.tobytes()).digest(),
        guidance=None if fitted is None else fitted.record,
    )
    return hierarchy.encode(
        min(wanted, hierarchy.base_count),
        include_hierarchy=True,
        include_regions=options.get("regions", False),
        provenance=provenance,
    )


def _write_maps(guidance: Guidance, folder: Path, stem: str) -> Options:
    result: Options = {
        "edgeWeight": guidance.edge_weight,
        "priorMode": guidance.prior_mode,
        "priorWeight": guidance.prior_weight,
    }
    for name in ("edges", "prior", "importance"):
        values = getattr(guidance, name)
        if values is None:
            continue
        (folder / f"{stem}.{name}").write_bytes(values.tobytes())
        result[name] = {"height": values.shape[0], "width": values.shape[1]}
    return result
