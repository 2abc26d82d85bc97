"""POST /v1/segment: what it gives, in each encoding, and what it rejects."""

import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service import segment_file
from superpixel_service.api import answers
from superpixel_service.client import Client, Guidance
from superpixel_service.http.problems import Problem
from tests.api.conftest import HEIGHT, IMAGE, MAX_BYTES, MAX_PIXELS, PIXELS, WIDTH, Api, form_of
from tests.service import guidance_maps
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene

HIERARCHY = kernels.segment(PIXELS)


def test_spx_is_the_label_map_of_the_server(api: Api, server: RunningServer) -> None:
    answer = api.segment("counts=50,20,8&compactness=12.5")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    with Client(server.listen) as client:
        expected = client.segment(IMAGE, counts=[50, 20, 8], compactness=12.5)
    assert answer.content == expected.spx
    facts = json.loads(answer.headers["superpixel-facts"])
    assert (facts["count"], facts["width"], facts["height"]) == (50, WIDTH, HEIGHT)
    assert "segment;dur=" in answer.headers["server-timing"]


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", None])
def test_the_image_may_be_the_whole_body(api: Api, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = api.call("POST", "/v1/segment?counts=9", IMAGE, headers)
    assert np.array_equal(codec.decode(answer.content).labels, HIERARCHY.cut(9))


def test_png_has_the_labels_as_values(api: Api) -> None:
    answer = api.segment("counts=30&encoding=png")
    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), HIERARCHY.cut(30))


def test_json_has_labels_levels_and_regions(api: Api) -> None:
    answer = api.segment("counts=30,10&encoding=json").json()
    runs = np.array(answer["labels"]).reshape(-1, 2)
    labels = np.repeat(runs[:, 0], runs[:, 1]).reshape(answer["height"], answer["width"])
    assert np.array_equal(labels, HIERARCHY.cut(30))
    assert (answer["width"], answer["height"], answer["counts"]) == (WIDTH, HEIGHT, [30, 10])
    assert answer["base_count"] == HIERARCHY.base_count
    (level,) = answer["levels"]
    assert level["count"] == 10
    assert np.array_equal(np.array(level["labels"])[labels], HIERARCHY.cut(10))
    assert "tree" not in answer
    for label, region in enumerate(answer["regions"]):
        rows, columns = np.nonzero(labels == label)
        assert region["area"] == rows.size
        assert region["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert region["centroid"] == pytest.approx([columns.mean(), rows.mean()], abs=1 / 16)
        assert region["color"] == pytest.approx(PIXELS[rows, columns].mean(axis=0), abs=0.51)
    touching = {tuple(sorted(pair)) for pair in zip(labels[:, 1:].flat, labels[:, :-1].flat, strict=True)}
    touching |= {tuple(sorted(pair)) for pair in zip(labels[1:].flat, labels[:-1].flat, strict=True)}
    pairs = {(a, b) for a, region in enumerate(answer["regions"]) for b in region["neighbors"]}
    assert pairs == {(a, b) for a, b in touching if a != b}


def test_json_may_have_the_tree_and_no_regions(api: Api) -> None:
    answer = api.segment("counts=30&encoding=json&hierarchy=true&regions=false").json()
    assert "regions" not in answer
    label_map = codec.decode(api.segment("counts=30").content)
    assert label_map.tree is not None
    assert answer["tree"] == {"into": label_map.tree.into.tolist(), "order": label_map.tree.order.tolist()}
    assert answer["heights"] == label_map.heights.tolist()


def test_a_form_has_the_image_its_maps_and_parameters(api: Api, server: RunningServer) -> None:
    maps = {
        "edges": encoded(guidance_maps.EDGES),
        "prior": encoded(guidance_maps.FEW.astype(np.uint8)),
        "importance": encoded(guidance_maps.IMPORTANCE),
    }
    weights = {"edge_weight": 3, "prior_weight": 40, "prior_mode": "soft"}
    with Client(server.listen) as client:
        expected = client.segment(IMAGE, counts=40, guidance=Guidance(**maps, **weights))
    fields = {name: str(value) for name, value in weights.items()}
    assert api.form("counts=40", image=IMAGE, **maps, **fields).content == expected.spx
    query = "&".join(f"{name}={value}" for name, value in weights.items())
    assert api.form(query, image=IMAGE, counts="40", **maps).content == expected.spx
    assert api.form(image=IMAGE, counts="40").content != expected.spx


def test_a_mask_is_a_part_of_the_form(api: Api) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[10:70, 20:80] = True
    expected = kernels.segment(PIXELS, mask=mask)
    file = encoded(np.where(mask, np.uint8(1), np.uint8(0)))
    found = codec.decode(api.form("counts=30,7", image=IMAGE, mask=file).content)
    for count in (30, 7):
        np.testing.assert_array_equal(found.labels_at(count), expected.cut(count))
    answer = api.form("counts=30&encoding=json", image=IMAGE, mask=file).json()
    runs = np.array(answer["labels"]).reshape(-1, 2)
    np.testing.assert_array_equal(np.repeat(*runs.T), expected.cut(30).ravel())
    assert answer["mask_pixels"] == np.count_nonzero(mask)
    assert [region["area"] for region in answer["regions"]] == expected.regions(30).area.tolist()
    picture = Image.open(io.BytesIO(api.form("counts=30&encoding=png", image=IMAGE, mask=file).content))
    np.testing.assert_array_equal(np.asarray(picture), expected.cut(30).astype(np.uint16))
    plain = api.form("counts=30", image=IMAGE)
    assert plain.headers["etag"] != api.form("counts=30", image=IMAGE, mask=file).headers["etag"]
    wrong = api.form("counts=30", image=IMAGE, mask=encoded(PIXELS)).problem(400, "MASK_INVALID")
    assert wrong["field"] == "mask.png"


def test_a_sample_range_reaches_the_server(api: Api) -> None:
    deep = (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % 5000).astype(np.uint16)
    file = encoded(deep)
    given = api.segment("counts=20&encoding=json&sample_range=100,4095", file).json()
    assert given["sample_range"] == [100, 4095]
    robust = api.segment("counts=20&encoding=json", file).json()
    assert robust["sample_range"][1] < 5000
    assert given["labels"] != robust["labels"]
    for wrong, reason in (
        ("5", "PARAMETER_INVALID"),
        ("5,x", "PARAMETER_INVALID"),
        ("9,9", "SAMPLE_RANGE_INVALID"),
        ("0,65536", "SAMPLE_RANGE_INVALID"),
        ("-1,9", "SAMPLE_RANGE_INVALID"),
    ):
        details = api.segment(f"counts=20&sample_range={wrong}", file).problem(400, reason)
        assert details["field"] == "sample_range"


def test_all_other_parameters_reach_the_server(api: Api) -> None:
    region = api.segment("counts=6&region=10,20,50,40")
    expected = kernels.segment(np.ascontiguousarray(PIXELS[20:60, 10:60]))
    assert np.array_equal(codec.decode(region.content).labels, expected.cut(6))
    sideways = encoded(PIXELS, "JPEG", exif=_turned())
    upright = codec.decode(api.segment("counts=6", sideways).content)
    as_stored = codec.decode(api.segment("counts=6&orientation=false", sideways).content)
    assert (upright.width, as_stored.width) == (HEIGHT, WIDTH)
    animated = encoded(PIXELS, "WEBP", save_all=True, append_images=[Image.fromarray(scene(seed=2))])
    api.segment("counts=6", animated).problem(400, "IMAGE_MULTIPLE_FRAMES")
    assert api.segment("counts=6&first_frame=true", animated).status == 200
    assert api.segment("areas=200").status == 200
    assert codec.decode(api.segment("").content).count == HIERARCHY.base_count
    assert api.segment("counts=6&priority=bulk").status == 200
    version = kernels.ALGORITHM_VERSION
    assert api.segment(f"counts=6&required_algorithm_version={version}").status == 200
    api.segment(f"counts=6&required_algorithm_version={version + 1}").problem(409, "VERSION_UNAVAILABLE")


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    ("query", "reason", "field"),
    [
        ("count=5", "PARAMETER_UNKNOWN", "count"),
        ("counts=5&Counts=5", "PARAMETER_UNKNOWN", "Counts"),
        ("counts=5&counts=6", "PARAMETER_REPEATED", "counts"),
        ("counts=", "PARAMETER_INVALID", "counts"),
        ("counts=5,,6", "PARAMETER_INVALID", "counts"),
        ("counts=5.0", "PARAMETER_INVALID", "counts"),
        ("counts=%D9%A5", "PARAMETER_INVALID", "counts"),
        ("counts=0", "COUNT_OUT_OF_RANGE", "counts[0]"),
        ("counts=7,99999999999", "COUNT_OUT_OF_RANGE", "counts[1]"),
        ("counts=99999", "COUNT_OUT_OF_RANGE", "counts[0]"),
        (f"counts={','.join(map(str, range(1, 35)))}", "TARGETS_TOO_MANY", "counts"),
        ("areas=0", "AREA_OUT_OF_RANGE", "areas[0]"),
        ("areas=nan", "PARAMETER_INVALID", "areas"),
        ("compactness=101", "COMPACTNESS_OUT_OF_RANGE", "compactness"),
        ("compactness=1_0", "PARAMETER_INVALID", "compactness"),
        ("encoding=gif", "ENUM_VALUE_UNKNOWN", "encoding"),
        ("counts=5&hierarchy=1", "PARAMETER_INVALID", "hierarchy"),
        ("counts=5&encoding=png&hierarchy=true", "PARAMETER_INVALID", "hierarchy"),
        ("counts=5&encoding=png&regions=true", "PARAMETER_INVALID", "regions"),
        ("encoding=png", "TARGETS_MISSING", "counts"),
        ("counts=5&region=1,2,3", "PARAMETER_INVALID", "region"),
        ("counts=5&region=1,2,3,400", "REGION_OUTSIDE_IMAGE", "region"),
        ("counts=5&priority=high", "ENUM_VALUE_UNKNOWN", "priority"),
        ("counts=5&prior_weight=3", "PARAMETER_INVALID", "prior_weight"),
        ("counts=5&required_algorithm_version=-1", "PARAMETER_INVALID", "required_algorithm_version"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, query: str, reason: str, field: str) -> None:
    details = api.segment(query).problem(400, reason)
    assert details["field"] == field
    assert field.partition("[")[0] in details["detail"]
    assert "target_" not in details["detail"]


@pytest.mark.parametrize(
    ("parts", "reason", "field"),
    [
        ([("counts", "5")], "IMAGE_MISSING", "image"),
        ([("image", IMAGE), ("image", IMAGE)], "PARAMETER_REPEATED", "image"),
        ([("image", IMAGE), ("picture", IMAGE)], "PARAMETER_UNKNOWN", "picture"),
        ([("image", IMAGE), ("counts", b"5")], "PARAMETER_INVALID", "counts"),
        ([("image", "text")], "PARAMETER_INVALID", "image"),
        ([("image", IMAGE), ("counts", "5"), ("counts", "6")], "PARAMETER_REPEATED", "counts"),
        ([("image", IMAGE), ("counts", "5"), ("edges", b"no map")], "GUIDANCE_MAP_INVALID", "edges.png"),
        ([("image", IMAGE), ("counts", "5" * 20_000)], "PARAMETER_INVALID", "counts"),
        ([("image", b"")], "IMAGE_FORMAT_NOT_ALLOWED", "image"),
    ],
)
def test_a_wrong_part_of_a_form_is_named(
    api: Api, parts: list[tuple[str, bytes | str]], reason: str, field: str
) -> None:
    body, kind = form_of(parts)
    details = api.call("POST", "/v1/segment", body, {"content-type": kind}).problem(400, reason)
    assert details["field"] == field


def test_a_parameter_in_address_and_form_is_given_twice(api: Api) -> None:
    api.form("counts=5", image=IMAGE, counts="5").problem(400, "PARAMETER_REPEATED")


def test_a_damaged_form_is_rejected(api: Api) -> None:
    body, kind = form_of([("image", IMAGE), ("counts", "5")])
    for damaged in (body[:-9], body[:200], b"", b"--", body.replace(b"form-data", b"attachment")):
        api.call("POST", "/v1/segment", damaged, {"content-type": kind}).problem(400, "BODY_MALFORMED")
    for wrong in ("multipart/form-data", "multipart/form-data; boundary=other"):
        api.call("POST", "/v1/segment", body, {"content-type": wrong}).problem(400, "BODY_MALFORMED")
    many, kind = form_of([("counts", "5")] * 100)
    api.call("POST", "/v1/segment", many, {"content-type": kind}).problem(400, "BODY_MALFORMED")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json"},
        {"content-type": "image/png", "content-encoding": "gzip"},
    ],
)
def test_another_kind_of_body_is_rejected(api: Api, headers: dict[str, str]) -> None:
    api.call("POST", "/v1/segment?counts=5", IMAGE, headers).problem(415)


def test_limits_are_the_servers(api: Api) -> None:
    pixels = np.zeros((1000, MAX_PIXELS // 1000 + 1, 3), np.uint8)
    api.segment("counts=5", encoded(pixels)).problem(400, "IMAGE_TOO_MANY_PIXELS")
    api.segment("counts=5", IMAGE + bytes(MAX_BYTES)).problem(413, "IMAGE_TOO_MANY_BYTES")
    api.segment("counts=5", IMAGE + bytes(2 * MAX_BYTES)).problem(413, "IMAGE_TOO_MANY_BYTES")
    form = api.form(image=IMAGE, edges=bytes(MAX_BYTES))
    form.problem(413, "GUIDANCE_TOO_MANY_BYTES")
    api.segment("counts=5", b"no image").problem(400, "IMAGE_FORMAT_NOT_ALLOWED")


def test_a_json_answer_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    result = segment_file(IMAGE, counts=30)
    assert json.loads(answers.encode(result, "json", None))["count"] == 30
    for name in ("MAX_JSON_RUNS", "MAX_JSON_COUNT"):
        with monkeypatch.context() as patch:
            patch.setattr(answers, name, 29)
            with pytest.raises(Problem) as rejected:
                answers.encode(result, "json", None)
        assert rejected.value.members["reason"] == "ANSWER_ABOVE_LIMIT"


def test_the_same_request_gives_the_same_tag_and_bytes(api: Api) -> None:
    first, again = (api.segment("counts=20&encoding=json") for _ in range(2))
    assert first.headers["etag"] == again.headers["etag"]
    assert first.content == again.content
    others = [
        api.segment("counts=21&encoding=json"),
        api.segment("counts=20"),
        api.segment("counts=20&encoding=json", encoded(PIXELS, compress_level=0)),
        api.segment("counts=20&encoding=json&compactness=10"),
    ]
    assert len({answer.headers["etag"] for answer in (first, *others)}) == 5
    assert first.headers["vary"] == "Accept-Encoding, Authorization"


def test_a_known_answer_is_not_computed_again(api: Api, server: RunningServer) -> None:
    tag = api.segment("counts=22").headers["etag"]
    before = server.stages_begun("segment")
    for sent in (tag, f"W/{tag}", f'"other", {tag}'):
        answer = api.segment("counts=22", if_none_match=sent)
        assert (answer.status, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert server.stages_begun("segment") == before
    for sent in ('"other"', "*", tag.strip('"')):
        assert api.segment("counts=22", if_none_match=sent).status == 200
    assert api.segment("counts=23", if_none_match=tag).status == 200


def test_json_is_compressed_for_those_who_accept_it(api: Api) -> None:
    plain = api.segment("counts=25&encoding=json")
    packed = api.segment("counts=25&encoding=json", accept_encoding="br, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 2
    assert packed.headers["etag"] != plain.headers["etag"]
    for tag in (plain.headers["etag"], packed.headers["etag"]):
        assert api.segment("counts=25&encoding=json", if_none_match=tag).status == 304
    for accepted in ("identity", "gzip;q=0", "br"):
        answer = api.segment("counts=25&encoding=json", accept_encoding=accepted)
        assert "content-encoding" not in answer.headers
    assert "content-encoding" not in api.segment("counts=25", accept_encoding="gzip").headers
