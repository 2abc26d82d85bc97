"""The bytes of a container depend on the arguments alone: not on the machine, nor on Python's zlib."""

import hashlib

from superpixel_kernels import codec, segment
from tests.kernels import images

BYTES = {
    "tree": "41c0fe6cc1888e38c7779aeca44360c8ff72bdb8df5024c4d1b0d777d93cd7c0",
    "levels": "f0b888875f07f34baac77b0e77c93eaeb258e903c7f66de9ad5c7a933aaa3188",
    "labels": "07ffb5c8940e71817d77c6ebdbbf5d377a06fae975134bdfb57d787b16ccaef8",
}
"""SHA-256 of the containers of one map."""


def test_containers_have_the_same_bytes_on_every_machine() -> None:
    hierarchy = segment(images.golden(301, 300))
    record = codec.GuidanceRecord(bytes(range(32)), 1, edge_weight=2, importance=True)
    provenance = codec.Provenance(10.0, (3, 4), (400, 500), bytes(32), record)
    made = {
        "tree": hierarchy.encode(
            hierarchy.base_count, include_hierarchy=True, include_regions=True, provenance=provenance
        ),
        "levels": hierarchy.encode(5000, levels=[2000, 300, 1]),
        "labels": hierarchy.encode(700),
    }
    assert {name: hashlib.sha256(data).hexdigest() for name, data in made.items()} == BYTES
