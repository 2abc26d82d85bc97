"""Guidance through the gateway, by plain HTTP: maps behind the image in the body."""

import io
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import Guidance, codec, segment
from tests.page.masks import png
from tests.page.test_gateway import PHOTO, call, problem

IMAGE = np.asarray(Image.open(io.BytesIO(PHOTO)))
ROWS, COLUMNS = np.mgrid[: IMAGE.shape[0], : IMAGE.shape[1]]
PRIOR = (COLUMNS // 90 + 10 * (ROWS // 70)).astype(np.uint8)
EDGES = ((3 * COLUMNS + 7 * ROWS) & 255).astype(np.uint8)
IMPORTANCE = (COLUMNS // 2).astype(np.uint8)
FILES = {"edges": png(EDGES), "prior": png(PRIOR), "importance": png(IMPORTANCE)}


def path_of(*maps: str, **others: Any) -> str:
    query = {**{name: len(FILES[name]) for name in maps}, **others}
    return "/api/segment?" + "&".join(f"{name}={value}" for name, value in query.items())


@pytest.mark.parametrize(
    ("maps", "query", "guidance"),
    [
        (["prior"], {}, Guidance(prior=PRIOR)),
        (["prior"], {"prior_weight": 200}, Guidance(prior=PRIOR, prior_weight=200)),
        (["prior"], {"prior_mode": "hard"}, Guidance(prior=PRIOR, prior_mode="hard")),
        (["edges"], {"edge_weight": 8}, Guidance(edges=EDGES, edge_weight=8)),
        (
            ["edges", "prior", "importance"],
            {"prior_weight": 100},
            Guidance(edges=EDGES, prior=PRIOR, prior_weight=100, importance=IMPORTANCE),
        ),
    ],
)
def test_superpixels_follow_the_maps(
    address: str, maps: list[str], query: dict[str, Any], guidance: Guidance
) -> None:
    body = PHOTO + b"".join(FILES[name] for name in maps)
    status, _, spx = call(address, "POST", path_of(*maps, **query), body)
    assert status == 200, spx
    label_map = codec.decode(spx)
    hierarchy = segment(IMAGE, guidance=guidance)
    for count in (label_map.count, 200, 40, 3):
        assert np.array_equal(label_map.labels_at(count), hierarchy.cut(count)), count
    assert not np.array_equal(label_map.labels_at(40), segment(IMAGE).cut(40))


def test_a_count_above_the_base_gives_all_base_superpixels_of_the_guidance(address: str) -> None:
    status, _, spx = call(
        address, "POST", path_of("prior", area=1, prior_mode="hard"), PHOTO + FILES["prior"]
    )
    assert status == 200
    assert (
        codec.decode(spx).count
        == segment(IMAGE, guidance=Guidance(prior=PRIOR, prior_mode="hard")).base_count
    )


@pytest.mark.parametrize(
    ("query", "field", "text"),
    [
        ("prior=0", "prior", "must be an integer from 1 to 2147483647, got '0'"),
        ("edges=-1", "edges", "must be an integer from 1"),
        ("importance=1.5", "importance", "must be an integer from 1"),
        ("prior=\u0665", "prior", "must be an integer from 1"),
        ("edges=99999999999", "edges", "must be an integer from 1"),
        ("prior=5&prior_weight=much", "prior_weight", "must be an integer from 0 to 2147483647, got 'much'"),
        ("prior=5&prior_mode=firm", "prior_mode", "must be soft or hard, got 'firm'"),
        ("edges=500000&prior=700000", "edges", f"the body has {len(PHOTO)} bytes, but its maps have 1200000"),
    ],
)
def test_wrong_parameters(address: str, query: str, field: str, text: str) -> None:
    details = problem(call(address, "POST", "/api/segment?" + quote(query, safe="=&"), PHOTO))
    assert (details["status"], details["field"]) == (400, field)
    assert details["detail"].startswith(f"{field}: {text}")


@pytest.mark.parametrize(
    ("query", "maps", "reason", "field"),
    [
        ({"prior": 7}, b"nothing", "GUIDANCE_MAP_INVALID", "guidance.prior"),
        (
            {"edges": len(FILES["edges"]) - 50},
            FILES["edges"][:-50],
            "GUIDANCE_MAP_UNDECODABLE",
            "guidance.edges",
        ),
        ({"edge_weight": 9}, FILES["edges"], "GUIDANCE_WEIGHT_TOO_LARGE", "guidance.edge_weight"),
        ({"prior": 3_000_000}, bytes(3_000_000), "GUIDANCE_TOO_MANY_BYTES", "guidance.prior"),
    ],
)
def test_the_servers_errors_name_the_map(
    address: str, query: dict[str, int], maps: bytes, reason: str, field: str
) -> None:
    if "edge_weight" in query:
        query = {"edges": len(maps), **query}
    details = problem(call(address, "POST", path_of(**query), PHOTO + maps))
    assert (details["status"], details["reason"]) == (400, reason)
    assert details["field"].startswith(field)
