"""`superpixel inspect`: check a label map file and print its contents."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superpixel_kernels import codec
from superpixel_kernels.codec import layout
from superpixel_kernels.errors import InvalidLabelMap
from superpixel_service.commands.output import (
    EXIT_OK,
    CommandFailed,
    read_file,
    write,
    write_facts,
    write_json,
    write_table,
)


def run(*, file: Path, json: bool) -> int:
    """Check the file and print its header, levels and sections."""
    data = read_file(file)
    try:
        label_map = codec.decode(data)
    except InvalidLabelMap as error:
        raise CommandFailed(f"{file}: not a valid label map: {error}") from None
    facts, sections = _describe(data, label_map), list(_sections(data))
    if json:
        write_json({**facts, "sections": [section._asdict() for section in sections]})
        return EXIT_OK
    write_facts(facts)
    write("")
    write_table([Section._fields, *sections])
    return EXIT_OK


class Section(NamedTuple):
    """A section of the container, with its size as stored and its size after decompression."""

    section: str
    stored_bytes: int
    raw_bytes: int


def _describe(data: bytes, label_map: codec.LabelMap) -> dict[str, object]:
    inside = label_map.labels[label_map.labels >= 0]
    areas = np.bincount(inside, minlength=label_map.count)
    return {
        "width": label_map.width,
        "height": label_map.height,
        "count": label_map.count,
        "pixels_outside": label_map.labels.size - inside.size,
        "connected": label_map.connected,
        "algorithm_version": label_map.algorithm_version,
        "format_version": data[4],
        "bytes": len(data),
        "bits_a_pixel": round(8 * len(data) / label_map.labels.size, 4),
        "smallest_region_pixels": int(areas.min()),
        "mean_region_pixels": round(float(areas.mean()), 1),
        "largest_region_pixels": int(areas.max()),
        "tree": label_map.tree is not None,
        "levels": [label_map.count, *(label_map.levels.counts if label_map.levels else ())],
        "region_data": label_map.regions is not None,
        **_provenance(label_map.provenance),
    }


def _provenance(provenance: codec.Provenance | None) -> dict[str, object]:
    """What the map was made from; nothing if the file does not say."""
    if provenance is None:
        return {}
    facts: dict[str, object] = {}
    if provenance.compactness is not None:
        facts["compactness"] = provenance.compactness
    if provenance.position is not None and provenance.picture_size is not None:
        facts["position"] = list(provenance.position)
        facts["picture_size"] = list(provenance.picture_size)
    if provenance.image_sha256 is not None:
        facts["image_sha256"] = provenance.image_sha256.hex()
    guidance = provenance.guidance
    facts["guidance"] = None if guidance is None else _guidance(guidance)
    return facts


def _guidance(guidance: codec.GuidanceRecord) -> dict[str, object]:
    facts: dict[str, object] = {"version": guidance.version}
    if guidance.edge_weight is not None:
        facts["edge_weight"] = guidance.edge_weight
    if guidance.prior_mode is not None:
        facts["prior_mode"] = guidance.prior_mode
    if guidance.prior_weight is not None:
        facts["prior_weight"] = guidance.prior_weight
    if guidance.importance:
        facts["importance"] = True
    return {**facts, "sha256": guidance.sha256.hex()}


def _sections(data: bytes) -> Iterator[Section]:
    """The sections of a container. `codec.decode` has already checked their sizes."""
    offset = layout.HEADER.size
    while True:
        kind, stored_bytes, raw_bytes = layout.SECTION.unpack_from(data, offset)
        if kind == layout.END:
            return
        yield Section(kind.decode("latin-1"), stored_bytes, raw_bytes)
        offset += layout.SECTION.size + stored_bytes
