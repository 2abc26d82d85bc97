"""`superpixel large export`: superpixels or a selection of a store, as files of other programs."""

import re
from pathlib import Path

import numpy as np

from superpixel_service.commands.large_failures import failures
from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, read_file, say
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.layers import CountLayer, Layer, SelectionLayer
from superpixel_service.large.ngff import Pixel
from superpixel_service.large.outline_export import DRIVERS, write_outlines
from superpixel_service.large.raster_export import write_geotiff
from superpixel_service.large.selection import StoreSelection, read_selection
from superpixel_service.large.store import Store
from superpixel_service.large.writer import write_count, write_label_image, write_label_list
from superpixel_service.large.zarr_store import failures_of, open_group


def run(*, store: str, selection: Path | None, count: int | None, format: str, out: str | None) -> int:  # noqa: A002
    """Write the export."""
    with failures():
        opened = Store(store)
        if count is not None and count > opened.info.base_count:
            raise CommandFailed(
                f"--count must be at most the base count, {opened.info.base_count}; got {count}",
                status=EXIT_USAGE,
            )
        chosen = None if selection is None else read_selection(read_file(selection), opened)
        if format == "ome-zarr":
            _write_label_image(opened, chosen, count, out)
            return EXIT_OK
        if out is None:
            raise CommandFailed(f"--format {format} needs --out FILE", status=EXIT_USAGE)
        layer: Layer = SelectionLayer(opened, chosen) if chosen else CountLayer(opened, count or 1)
        if format in DRIVERS:
            features = write_outlines(Path(out), format, opened.info, layer)
            say(f"{out}: {features:,} outlines")
        else:
            write_geotiff(Path(out), opened.info, layer)
            say(f"{out}: {opened.info.width} x {opened.info.height} pixels")
    return EXIT_OK


def _write_label_image(
    store: Store, selection: StoreSelection | None, count: int | None, out: str | None
) -> None:
    """Add a label image to the store. Painted pixels of a selection have no base regions, so it has none."""
    name = out or (str(count) if count else "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        raise CommandFailed(
            "--format ome-zarr needs --out NAME: letters, digits, _ and - name the label image",
            status=EXIT_USAGE,
        )
    if selection is not None and len(selection.runs):
        raise LargeFailed("a label image of a selection cannot have painted pixels; use --format geotiff")
    info = store.info
    sizes = [info.level_size(scale) for scale in info.scales]
    with failures_of(store.address):
        group = open_group(store.address, writable=True)
        if f"labels/{name}" in group:
            raise LargeFailed(f"{store.address}: has a label image {name} already")
        if selection is None:
            write_count(group, store.tree, count or 1, sizes, Pixel(), lambda _: None)
        else:
            table = selection.base_values.astype(np.uint32)
            write_label_image(group, name, table, sizes, Pixel(), lambda _: None)
        write_label_list(group)
    say(f"{store.address}: label image labels/{name}")
