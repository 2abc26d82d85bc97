"""`superpixel segment`: segment one photograph, and write its label map, overlays and masks."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.commands.label_maps import ImageRejected, ImageResult, Parameters
from superpixel_service.commands.local import read_photo
from superpixel_service.commands.output import (
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    make_folder,
    save,
    say,
    write,
    write_facts,
    write_table,
)
from superpixel_service.commands.segmenters import choose_segmenter
from superpixel_service.commands.target import Target
from superpixel_service.images.overlay import draw

_ENLARGED_PIXELS = 1 << 20
"""Photographs of at most this many pixels are drawn at twice their size, so that lines hide less of them."""


def run(*, photo: Path, out: Path, parameters: Parameters, server: Target | None) -> int:
    """Write the label map, and per count an overlay and a mask; print a table of them."""
    if parameters.guidance is not None:
        parameters.guidance.check()
    if parameters.mask is not None and not parameters.mask.is_file():
        problem = "is a folder, not a file" if parameters.mask.exists() else "no such file"
        raise CommandFailed(f"--mask: {parameters.mask}: {problem}", status=EXIT_USAGE)
    try:
        pixels = read_photo(photo, parameters)
        result = choose_segmenter(parameters, server, jobs=1).segment(photo)
    except ImageRejected as error:
        raise CommandFailed(str(error)) from None
    make_folder(out)
    say(*(f"{photo}: {notice}" for notice in result.notices))
    _write_all(out / photo.name, pixels, result)
    return EXIT_OK


def _write_all(stem: Path, photo: NDArray[np.uint8], result: ImageResult) -> None:
    # The names begin with the photograph's whole name: a.png and a.webp may go to the same folder.
    label_map = codec.decode(result.spx, max_pixels=photo.shape[0] * photo.shape[1])
    spx = stem.with_name(f"{stem.name}.spx")
    save(spx, result.spx)
    rows: list[tuple[object, ...]] = [
        ("superpixels", "smallest_pixels", "mean_pixels", "largest_pixels", "overlay", "mask")
    ]
    scale = 2 if label_map.labels.size <= _ENLARGED_PIXELS else 1
    for count in sorted(result.counts):
        labels = label_map.labels_at(count)
        overlay = stem.with_name(f"{stem.name}-{count}-overlay.png")
        save(overlay, _encoded(draw(photo, labels, scale), "PNG"))
        mask, data = _mask(stem, labels, count)
        save(mask, data)
        areas = np.bincount(labels[labels >= 0])
        rows.append((count, int(areas.min()), round(areas.mean()), int(areas.max()), overlay, mask))
    write_table(rows)
    write("")
    write_facts(
        {
            "label map with every count": spx,
            "its size, in bytes": len(result.spx),
            "photo": f"{label_map.width} x {label_map.height}",
            "base regions": result.base_count,
        }
    )


def _mask(stem: Path, labels: NDArray[np.int32], count: int) -> tuple[Path, bytes]:
    """An image whose values are the labels: a 16-bit PNG, which every tool reads, or else a 32-bit TIFF.

    Pixels outside have 65,535 in a PNG, and -1 in a TIFF.
    """
    if count + int(labels.min() < 0) <= 1 << 16:
        return stem.with_name(f"{stem.name}-{count}-mask.png"), _encoded(labels.astype(np.uint16), "PNG")
    return stem.with_name(f"{stem.name}-{count}-mask.tif"), _encoded(labels, "TIFF")


def _encoded(pixels: NDArray[np.generic], image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()
