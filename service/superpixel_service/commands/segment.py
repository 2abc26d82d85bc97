"""`superpixel segment`: one photograph, drawn and labelled at the sizes asked for."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.commands.label_maps import Made, Parameters, Refused
from superpixel_service.commands.local import read_photo
from superpixel_service.commands.makers import choose
from superpixel_service.commands.output import (
    EXIT_OK,
    CommandFailed,
    make_folder,
    save,
    say,
    write,
    write_facts,
    write_table,
)
from superpixel_service.commands.target import Target
from superpixel_service.images.overlay import draw

_ENLARGED_PIXELS = 1 << 20
"""Photographs up to so many pixels are drawn at twice their size: lines need room."""


def run(*, photo: Path, counts: Sequence[int], out: Path, compactness: float, server: Target | None) -> int:
    """Write the label map, and for each count an overlay and a mask; print a table of them."""
    try:
        pixels = read_photo(photo)
        made = choose(Parameters(tuple(counts), compactness, hierarchy=True), server, jobs=1).make(photo)
    except Refused as error:
        raise CommandFailed(str(error)) from None
    make_folder(out)
    say(*(f"{photo}: {notice}" for notice in made.notices))
    _write_all(out / photo.stem, pixels, made, counts)
    return EXIT_OK


def _write_all(stem: Path, photo: NDArray[np.uint8], made: Made, counts: Sequence[int]) -> None:
    label_map = codec.decode(made.spx, max_pixels=photo.shape[0] * photo.shape[1])
    spx = stem.with_name(f"{stem.name}.spx")
    save(spx, made.spx)
    rows: list[tuple[object, ...]] = [
        ("superpixels", "smallest_pixels", "mean_pixels", "largest_pixels", "overlay", "mask")
    ]
    scale = 2 if label_map.labels.size <= _ENLARGED_PIXELS else 1
    for count in counts:
        labels = label_map.labels_at(count)
        overlay = stem.with_name(f"{stem.name}-{count}-overlay.png")
        save(overlay, _encoded(draw(photo, labels, scale), "PNG"))
        mask, data = _mask(stem, labels, count)
        save(mask, data)
        areas = np.bincount(labels.ravel())
        rows.append((count, int(areas.min()), round(areas.mean()), int(areas.max()), overlay, mask))
    write_table(rows)
    write("")
    write_facts(
        {
            "label map with every count": spx,
            "its size, in bytes": len(made.spx),
            "photo": f"{label_map.width} x {label_map.height}",
            "base regions": made.base_count,
        }
    )


def _mask(stem: Path, labels: NDArray[np.int32], count: int) -> tuple[Path, bytes]:
    """An image whose values are the labels: 16 bits where they fit, which every tool reads, else 32."""
    if count <= 1 << 16:
        return stem.with_name(f"{stem.name}-{count}-mask.png"), _encoded(labels.astype(np.uint16), "PNG")
    return stem.with_name(f"{stem.name}-{count}-mask.tif"), _encoded(labels, "TIFF")


def _encoded(pixels: NDArray[np.generic], image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()
