"""The section `prov`: what a label map was made from."""

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpixel_kernels.codec import GuidanceRecord, Provenance, decode, encode, reference
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter
from tests.kernels.codec_tools import END, as_reference, noise, payload_of, section
from tests.kernels.malformed import HEADER, LABL, field

LABELS = noise(5, 7, 3)
GUIDANCE = GuidanceRecord(bytes(range(32)), 1, 2, "soft", 64, importance=True)
FULL = Provenance(12.5, (300, 4), (1920, 1080), bytes(range(100, 132)), GUIDANCE)


@pytest.mark.parametrize(
    "provenance",
    [
        FULL,
        Provenance(),
        Provenance(compactness=0.0),
        Provenance(position=(0, 0), picture_size=(7, 5)),
        Provenance(image_sha256=bytes(32)),
        Provenance(guidance=replace(GUIDANCE, edge_weight=None, prior_mode=None, prior_weight=None)),
        Provenance(guidance=replace(GUIDANCE, prior_mode="hard", prior_weight=None, importance=False)),
        Provenance(guidance=GuidanceRecord(bytes(32), 65535, edge_weight=0)),
    ],
    ids=repr,
)
def test_what_is_written_is_read(provenance: Provenance) -> None:
    data = encode(LABELS, provenance=provenance)
    label_map = decode(data)
    assert label_map.provenance == provenance
    assert as_reference(label_map) == reference.decode(data)
    assert np.array_equal(label_map.labels, LABELS)


def test_a_map_without_it_has_the_bytes_of_earlier_versions() -> None:
    data = encode(LABELS)
    assert decode(data).provenance is None
    with_it = encode(LABELS, provenance=FULL)
    assert with_it.startswith(data[: -len(END)])
    assert with_it.endswith(END)
    # All that was added is one section, of a type that readers skip if they do not know it.
    added = with_it[len(data) - len(END) : -len(END)]
    kind, stored, _ = struct.unpack_from("<4sII", added)
    assert (kind, stored) == (b"prov", len(added) - 12)


def test_the_payload_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "label-map.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```prov\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert payload_of(encode(LABELS, provenance=FULL), b"prov") == bytes.fromhex(block)


def test_unknown_fields_are_skipped() -> None:
    payload = field(1, struct.pack("<d", 3.0)) + field(5, b"later") + field(255, b"")
    data = HEADER + LABL + section(b"prov", payload) + END
    assert decode(data).provenance == Provenance(compactness=3.0)
    assert reference.decode(data)["provenance"] == {"compactness": 3.0}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"compactness": -1.0}, "compactness"),
        ({"compactness": float("nan")}, "compactness"),
        ({"compactness": float("inf")}, "compactness"),
        ({"position": None}, "position"),
        ({"picture_size": None}, "position"),
        ({"position": (1914, 4)}, "position"),
        ({"position": (300, -1)}, "position"),
        ({"picture_size": (2**32, 1080)}, "position"),
        ({"image_sha256": bytes(31)}, "image_sha256"),
        ({"guidance": replace(GUIDANCE, sha256=b"")}, "guidance.sha256"),
        ({"guidance": replace(GUIDANCE, version=65536)}, "guidance.version"),
        ({"guidance": replace(GUIDANCE, edge_weight=-1)}, "guidance.edge_weight"),
        ({"guidance": replace(GUIDANCE, prior_weight=65536)}, "guidance.prior_weight"),
        ({"guidance": replace(GUIDANCE, prior_weight=None)}, "guidance.prior_weight"),
        ({"guidance": replace(GUIDANCE, prior_mode="hard")}, "guidance.prior_weight"),
        ({"guidance": replace(GUIDANCE, prior_mode="other")}, "guidance.prior_mode"),
        ({"guidance": GuidanceRecord(bytes(32), 1)}, "guidance"),
    ],
    ids=repr,
)
def test_what_cannot_be_written(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        encode(LABELS, provenance=replace(FULL, **changes))
    assert error.value.parameter == f"provenance.{name}"


def test_every_payload_that_is_cut_short() -> None:
    whole = payload_of(encode(LABELS, provenance=FULL), b"prov")
    head = encode(LABELS)[: -len(END)]
    between_fields = {0, 10, 28, 62, len(whole)}
    for size in range(len(whole) + 1):
        data = head + section(b"prov", whole[:size]) + END
        if size in between_fields:
            decode(data)
            continue
        with pytest.raises(InvalidLabelMap, match=r"^prov: "):
            decode(data)
        with pytest.raises(InvalidLabelMap):
            reference.decode(data)
