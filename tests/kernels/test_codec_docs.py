"""docs/label-map.md decodes one container by hand; it must be the one that the encoder writes."""

import re
from pathlib import Path

import numpy as np

from superpixel_kernels.codec import decode, encode, reference
from tests.kernels.codec_tools import split, tree_of

PAGE = (Path(__file__).parents[2] / "docs" / "label-map.md").read_text(encoding="utf-8")

LABELS = np.array([[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 2], [0, 3, 3, 3, 2, 2], [0, 3, 3, 2, 2, 2]], np.int32)
TREE = tree_of([(1, 2), (0, 3), (0, 1)], 4)


def block(kind: str) -> dict[str, bytes]:
    """The lines of the page's block of that kind: what each begins with, and its bytes."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.split("  ", 1) for line in found.splitlines()]
    return {begin: bytes.fromhex(values) for begin, values in lines}


def test_the_hex_dump_is_what_the_encoder_writes() -> None:
    lines = block("hexdump")
    assert [int(at, 16) for at in lines] == list(range(0, 16 * len(lines), 16))
    assert b"".join(lines.values()) == encode(LABELS, tree=TREE, algorithm_version=1)


def test_the_payloads_are_those_of_the_hex_dump() -> None:
    sections = split(b"".join(block("hexdump").values()))[1]
    assert block("payloads") == {kind.decode(): payload for kind, payload in sections}


def test_the_hex_dump_decodes_to_the_map_on_the_page() -> None:
    data = b"".join(block("hexdump").values())
    rows = "\n".join(" ".join(map(str, row)) for row in reference.decode(data)["labels"])
    cut = "\n".join(" ".join(map(str, row)) for row in decode(data).labels_at(2).tolist())
    maps = re.findall(r"^```\n((?:[0-9 ]+\n)+)```$", PAGE, re.MULTILINE)
    assert [found.rstrip("\n") for found in maps] == [rows, cut]
