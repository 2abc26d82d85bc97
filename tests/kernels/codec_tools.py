"""Label maps, trees and hand-made containers for the codec's tests."""

import itertools
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import LabelMap, Provenance, Tree

Labels = NDArray[np.int32]


def canonical(labels: NDArray[Any]) -> Labels:
    """The same partition, numbered 0, 1, ... by first appearance row by row."""
    numbers: dict[int, int] = {}
    flat = [numbers.setdefault(label, len(numbers)) for label in labels.ravel().tolist()]
    return np.array(flat, np.int32).reshape(labels.shape)


def map_of(rows: list[str]) -> Labels:
    """The map of the same partition as these characters."""
    return canonical(np.array([list(map(ord, row)) for row in rows]))


def noise(height: int, width: int, values: int, seed: int = 0) -> Labels:
    return canonical(np.random.default_rng(seed).integers(0, values, (height, width)))


def blobs(height: int, width: int, seeds: int, seed: int = 0) -> Labels:
    """Voronoi cells: regions as superpixels have them."""
    rng = np.random.default_rng(seed)
    points = rng.random((seeds, 2)) * (height, width)
    y, x = np.mgrid[:height, :width]
    distance = (y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2
    return canonical(distance.argmin(axis=-1))


Merge = tuple[int, int]


def random_merges(count: int, seed: int = 0) -> list[Merge]:
    """Pairs of labels whose components are merged, in order, until one is left."""
    rng = np.random.default_rng(seed)
    components = [[label] for label in range(count)]
    merges = []
    while len(components) > 1:
        i, j = sorted(rng.choice(len(components), 2, replace=False).tolist())
        a, b = components[i], components.pop(j)
        merges.append((int(rng.choice(a)), int(rng.choice(b))))
        components[i] = a + b
    return merges


def tree_of(merges: list[Merge], count: int) -> Tree:
    """`into` and `order` by their definition."""
    component = {label: {label} for label in range(count)}
    into, order = np.zeros(count - 1, np.int32), np.zeros(count - 1, np.int32)
    for step, pair in enumerate(merges):
        first, second = sorted((component[label] for label in pair), key=min)
        label = min(second)
        into[label - 1] = max(other for other in first if other < label)
        order[label - 1] = step
        joined = first | second
        component.update(dict.fromkeys(joined, joined))
    return Tree(into, order)


def replay(labels: Labels, merges: list[Merge], count: int) -> Labels:
    """The label map with `count` regions, by doing the merges on the pixels."""
    merged = labels.astype(np.int64)
    now = {label: label for label in range(int(labels.max()) + 1)}
    for a, b in merges[: len(now) - count]:
        keep, drop = now[a], now[b]
        merged[merged == drop] = keep
        now = {label: keep if value == drop else value for label, value in now.items()}
    return canonical(merged)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def short(k: int, length: int, code: int) -> tuple[int]:
    """A short token."""
    return (16 + ((k * 8 + length - 1) * 2 + code),)


END_ROW = (0,)


def label_payload(*tokens: tuple[int, ...], more: bytes = b"") -> bytes:
    """LABL from tokens, each with its arguments: (token, argument, ...)."""
    arguments = b"".join(varint(argument) for token in tokens for argument in token[1:])
    return struct.pack("<I", len(tokens)) + bytes(token[0] for token in tokens) + arguments + more


def gzip_member(raw: bytes) -> bytes:
    return zlib.compress(raw, 1, 31)


def section(kind: bytes, raw: bytes, *, stored: bytes | None = None, raw_bytes: int | None = None) -> bytes:
    stored = gzip_member(raw) if stored is None else stored
    return kind + struct.pack("<II", len(stored), len(raw) if raw_bytes is None else raw_bytes) + stored


END = b"END\0" + bytes(8)


def header(
    width: int,
    height: int,
    count: int,
    *,
    magic: bytes = b"SPXL",
    version: int = 1,
    flags: int = 1,
    algorithm_version: int = 1,
) -> bytes:
    return magic + struct.pack("<BBHIII", version, flags, algorithm_version, width, height, count)


def split(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A sound container's header and its sections: type, inflated payload."""
    at = 20
    sections: list[tuple[bytes, bytes]] = []
    while True:
        kind, stored, _ = struct.unpack_from("<4sII", data, at)
        at += 12
        if kind == b"END\0":
            return data[:20], sections
        sections.append((kind, zlib.decompress(data[at : at + stored], 31)))
        at += stored


def payload_of(data: bytes, kind: bytes) -> bytes:
    return dict(split(data)[1])[kind]


def as_reference(label_map: LabelMap) -> dict[str, Any]:
    """A decoded map as the reference decoder gives it."""
    result: dict[str, Any] = {
        "count": label_map.count,
        "connected": label_map.connected,
        "algorithm_version": label_map.algorithm_version,
        "labels": label_map.labels.tolist(),
    }
    if label_map.tree is not None:
        result["tree"] = (label_map.tree.into.tolist(), label_map.tree.order.tolist())
    if label_map.levels is not None:
        levels = label_map.levels
        result["levels"] = (list(levels.counts), levels.into.tolist(), levels.level.tolist())
    if label_map.heights is not None:
        result["heights"] = (label_map.heights.view(np.uint32) >> 16).tolist()
    if label_map.regions is not None:
        regions = label_map.regions
        columns: list[NDArray[Any]] = [
            regions.area[:, None],
            regions.box,
            regions.centroid,
            regions.mean_color,
        ]
        fields = [column.tolist() for field in columns for column in field.T]
        bounds = regions.neighbor_offsets.tolist()
        neighbors = [regions.neighbors[a:b].tolist() for a, b in itertools.pairwise(bounds)]
        result["regions"] = (fields, neighbors)
    if label_map.provenance is not None:
        result["provenance"] = _provenance(label_map.provenance)
    if label_map.global_ids is not None:
        result["global_ids"] = (label_map.global_ids.scale, label_map.global_ids.ids.tolist())
    return result


def _provenance(provenance: Provenance) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if provenance.compactness is not None:
        result["compactness"] = provenance.compactness
    if provenance.position is not None and provenance.picture_size is not None:
        result["place"] = [*provenance.position, *provenance.picture_size]
    if provenance.image_sha256 is not None:
        result["image"] = provenance.image_sha256.hex()
    if provenance.guidance is not None:
        guidance = provenance.guidance
        maps = (guidance.edge_weight is not None) + 2 * (guidance.prior_mode is not None)
        result["guidance"] = [
            guidance.version,
            maps + 4 * guidance.importance,
            int(guidance.prior_mode == "hard"),
            guidance.edge_weight or 0,
            guidance.prior_weight or 0,
            guidance.sha256.hex(),
        ]
    return result
