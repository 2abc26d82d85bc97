"""Mutation fuzzing of the label map reader against the reference decoder.

`python -m tests.kernels.fuzz_codec --count 1000000 --seed 1`: both must refuse the same bytes and read the
same from all others; any exception but InvalidLabelMap ends the run. Worth its time under AddressSanitizer.
"""

import argparse
import random
import struct
import time
from dataclasses import dataclass

import numpy as np

from superpixel_kernels.codec import (
    GlobalIds,
    GuidanceRecord,
    Provenance,
    decode,
    encode,
    measure_regions,
    reference,
)
from superpixel_kernels.errors import InvalidLabelMap
from tests.kernels.codec_tools import (
    END,
    Labels,
    as_reference,
    blobs,
    noise,
    random_merges,
    section,
    split,
    tree_of,
    varint,
)

MAX_PIXELS = 4096
"""Bound given to the reader; a mutated width or height must not make the run slow."""

EDGES = [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 127, 128, 255]
"""Bytes at which the format changes its mind."""


@dataclass
class Tally:
    """How many inputs were read, and how many refused."""

    accepted: int = 0
    refused: int = 0


def samples() -> list[bytes]:
    """Small sound containers, so that a mutation is likely to hit something that matters."""
    maps: list[Labels] = [
        np.zeros((1, 1), np.int32),
        np.array([[0, 1, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2], [0, 3, 3, 3, 1, 1], [0, 3, 3, 1, 1, 1]], np.int32),
        noise(4, 5, 3),
        noise(3, 70, 4),
        np.repeat(noise(4, 10, 6), 13, axis=1),
        np.vstack([np.arange(70), np.maximum(np.arange(70) - 1, 0)]).astype(np.int32),
        blobs(14, 18, 9),
        np.arange(300, dtype=np.int32).reshape(15, 20),
    ]
    result = []
    for seed, labels in enumerate(maps):
        count = int(labels.max()) + 1
        tree = tree_of(random_merges(count, seed), count)
        heights = np.sort(np.random.default_rng(seed).random(count - 1, np.float32))
        image = np.random.default_rng(seed).integers(0, 256, (*labels.shape, 3), np.uint8)
        result += [
            encode(labels),
            encode(labels, tree=tree, heights=heights),
            encode(labels, regions=measure_regions(labels, image)),
        ]
        result.append(encode(labels, provenance=provenance(labels.shape, seed)))
        if count > 4:
            result.append(encode(labels, tree=tree, levels=[count - 1, count // 2, 1]))
    return result


def windows() -> list[bytes]:
    """Sound containers with a section that readers in other languages skip."""
    result = []
    for seed, labels in enumerate([noise(4, 5, 3), blobs(14, 18, 9)]):
        count = int(labels.max()) + 1
        ids = np.random.default_rng(seed).permutation(3 * count)[:count].astype(np.uint32)
        result.append(encode(labels, global_ids=GlobalIds(1 << seed, ids), connected=False))
    return result


def masked() -> list[bytes]:
    """Sound containers with pixels that belong to no superpixel."""
    result = []
    for seed, labels in enumerate([noise(4, 5, 3), noise(3, 70, 4), blobs(14, 18, 9)]):
        labels = np.where(labels == seed, -1, labels - (labels > seed)).astype(np.int32)
        count = int(labels.max()) + 1
        tree = tree_of(random_merges(count, seed), count)
        image = np.random.default_rng(seed).integers(0, 256, (*labels.shape, 3), np.uint8)
        result.append(encode(labels, tree=tree, regions=measure_regions(labels, image)))
    return result


def provenance(shape: tuple[int, ...], seed: int) -> Provenance:
    """What a map of this shape could be made from; by the seed with more or fewer fields."""
    height, width = shape
    guidance = [
        None,
        GuidanceRecord(bytes(range(32)), 1, 2, "soft", 64, importance=True),
        GuidanceRecord(bytes(32), 1, prior_mode="hard"),
        GuidanceRecord(bytes(32), 65535, edge_weight=0),
    ][seed % 4]
    return Provenance(
        compactness=10.0,
        position=(seed, 3),
        picture_size=(width + seed, height + 3),
        image_sha256=bytes(range(32)) if seed % 2 else None,
        guidance=guidance,
    )


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, removed, added, moved or repeated."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice([1, 1, 1, 2, 4, 9])
        match rng.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([rng.choice(EDGES)])
            case 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                if at < len(changed):
                    changed[at] = (changed[at] + rng.choice([-1, 1])) % 256
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = bytes(rng.choice(EDGES) for _ in range(length))
            case 5:
                changed[at:at] = changed[rng.randrange(len(changed) + 1) :][:length]
            case _:
                changed[at : at + length] = varint(rng.choice([127, 128, 2**14, 2**31, 2**32 - 1, 2**32]))
    return bytes(changed)


def mutate_labels(rng: random.Random, payload: bytes) -> bytes:
    """LABL with tokens and arguments changed apart, so that the number of tokens stays true."""
    (tokens,) = struct.unpack_from("<I", payload)
    parts = [payload[4 : 4 + tokens], payload[4 + tokens :]]
    changed = rng.randrange(2)
    parts[changed] = mutate_bytes(rng, parts[changed])
    return struct.pack("<I", len(parts[0])) + b"".join(parts)


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """The container itself mutated, or what is in it with the gzip members made anew."""
    if rng.random() < 0.15:
        return mutate_bytes(rng, data)
    head, sections = split(data)
    at = rng.randrange(len(sections))
    kind, payload = sections[at]
    choice = rng.random()
    if choice < 0.5 and kind == b"LABL":
        sections[at] = (kind, mutate_labels(rng, payload))
    elif choice < 0.85:
        sections[at] = (kind, mutate_bytes(rng, payload))
    elif choice < 0.9:
        sections += rng.sample(split(rng.choice(others))[1], 1)
    elif choice < 0.95:
        fields = list(struct.unpack_from("<III", head, 8))
        field = rng.randrange(3)
        fields[field] = max(0, fields[field] + rng.choice([-1, 1, 255, 256]))
        head = head[:8] + struct.pack("<III", *fields)
    else:
        rng.shuffle(sections)
    return head + b"".join(section(*part) for part in sections) + END


def check(data: bytes, tally: Tally) -> None:
    """Raise AssertionError unless both decoders agree on `data`, and anything that is no InvalidLabelMap."""
    try:
        decoded = as_reference(decode(data, max_pixels=MAX_PIXELS))
    except InvalidLabelMap:
        tally.refused += 1
        # The reference knows no bound: it is not asked about maps that are refused for their size.
        if len(data) >= 16 and np.prod(np.frombuffer(data, "<u4", 2, 8).astype(float)) > MAX_PIXELS:
            return
        try:
            reference.decode(data)
        except InvalidLabelMap:
            return
        raise AssertionError(f"refused, but the reference decoder reads it: {data.hex()}") from None
    tally.accepted += 1
    if reference.decode(data) != decoded:
        raise AssertionError(f"read otherwise than by the reference decoder: {data.hex()}")


def fuzz(count: int, seed: int) -> Tally:
    """Check `count` mutations, the same ones for the same seed."""
    rng = random.Random(seed)
    tally = Tally()
    sound = samples() + windows() + masked()
    for data in sound:
        check(data, tally)
    if tally.refused:
        raise AssertionError("a sound container was refused")
    tally = Tally()
    for _ in range(count):
        check(mutate(rng, rng.choice(sound), sound), tally)
    return tally


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    tally = fuzz(arguments.count, arguments.seed)
    print(f"{tally.accepted} read, {tally.refused} refused, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
