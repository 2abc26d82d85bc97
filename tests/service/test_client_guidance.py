"""Guidance through both clients: every kind of map that a program has, and what the client rejects."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service import segment_file
from superpixel_service.client import (
    Client,
    Guidance,
    InvalidRequest,
    NotServed,
    Segmentation,
    SegmentError,
    VersionUnavailable,
)
from superpixel_service.client.guidance import build_guidance
from superpixel_service.errors import VersionUnavailable as ServerVersionUnavailable
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.kernels.coco import compressed, runs_of
from tests.service.guidance_maps import (
    EDGES,
    FEW,
    HEIGHT,
    IMPORTANCE,
    PIXELS,
    PRIOR,
    SPX,
    WIDTH,
    codec_labels,
    disks,
    painted,
    palette_png,
    rgb_png,
    small_png,
)
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene
from tests.service.scripted import Caller, Scripted, refuse, serving

BOOLS = EDGES > 99


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def rle(mask: np.ndarray, *, packed: bool) -> dict[str, Any]:
    lengths = runs_of(mask)
    return {"size": list(mask.shape), "counts": compressed(lengths).decode() if packed else lengths}


def sam_json(**more: Any) -> bytes:
    return json.dumps(
        {"annotations": [{"segmentation": rle(mask, packed=True), "area": 1, **more} for mask in disks()]}
    ).encode()


STRENGTHS: dict[str, tuple[Callable[[Path], Any], np.ndarray]] = {
    "path": (lambda folder: written(folder, "e.png", encoded(EDGES)), EDGES),
    "text path": (lambda folder: str(written(folder, "e.png", encoded(EDGES))), EDGES),
    "bytes": (lambda _: encoded(EDGES), EDGES),
    "memoryview": (lambda _: memoryview(encoded(EDGES)), EDGES),
    "Pillow L": (lambda _: Image.fromarray(EDGES), EDGES),
    "Pillow 1": (lambda _: Image.fromarray(BOOLS), BOOLS * np.uint8(255)),
    "Pillow file": (lambda folder: Image.open(written(folder, "e.png", encoded(EDGES))), EDGES),
    "array": (lambda _: EDGES, EDGES),
    "array (H, W, 1)": (lambda _: EDGES[:, :, None], EDGES),
    "array bool": (lambda _: BOOLS, BOOLS * np.uint8(255)),
    "array in other strides": (lambda _: EDGES[::-1, ::2], EDGES[::-1, ::2]),
}

PRIORS: dict[str, tuple[Callable[[Path], Any], np.ndarray]] = {
    "path": (lambda folder: written(folder, "p.png", encoded(PRIOR.astype(np.uint16))), PRIOR),
    "bytes": (lambda _: rgb_png(PRIOR), PRIOR),
    "path of a label map": (lambda folder: written(folder, "p.spx", SPX), codec_labels(SPX)),
    "bytes of a label map": (lambda _: SPX, codec_labels(SPX)),
    "path of masks": (lambda folder: written(folder, "p.json", sam_json()), painted(disks())),
    "bytes of masks": (lambda _: sam_json(image_id=3), painted(disks())),
    "Pillow L": (lambda _: Image.fromarray(FEW.astype(np.uint8)), FEW),
    "Pillow 1": (lambda _: Image.fromarray(BOOLS), BOOLS.astype(np.int32)),
    "Pillow P": (lambda folder: Image.open(written(folder, "p.png", palette_png(FEW))), FEW),
    "Pillow P of 4 bits": (lambda folder: Image.open(written(folder, "p.png", small_png(FEW, 4, 3))), FEW),
    "Pillow I;16": (lambda _: Image.fromarray(PRIOR.astype(np.uint16)), PRIOR),
    "Pillow I": (lambda _: Image.fromarray(PRIOR), PRIOR),
    "Pillow RGB": (lambda folder: Image.open(written(folder, "p.png", rgb_png(PRIOR))), PRIOR),
    "array int32": (lambda _: PRIOR, PRIOR),
    "array int64": (lambda _: PRIOR.astype(np.int64), PRIOR),
    "array uint8": (lambda _: FEW.astype(np.uint8), FEW),
    "array of the other byte order": (lambda _: PRIOR.astype(">i4"), PRIOR),
    "array bool": (lambda _: BOOLS, BOOLS.astype(np.int32)),
    "array of masks": (lambda _: np.stack(disks()), painted(disks())),
    "list of arrays": (lambda _: disks(), painted(disks())),
    "list of arrays that are true at the first pixel": (
        lambda _: [~mask for mask in disks()],
        painted([~mask for mask in disks()]),
    ),
    "list of integer arrays": (lambda _: [mask * 7 for mask in disks()], painted(disks())),
    "list of SAM's dictionaries": (
        lambda _: [{"segmentation": mask, "area": 3} for mask in disks()],
        painted(disks()),
    ),
    "list of compressed strings": (lambda _: [rle(mask, packed=True) for mask in disks()], painted(disks())),
    "list of lengths": (
        lambda _: [{"segmentation": rle(mask, packed=False)} for mask in disks()],
        painted(disks()),
    ),
    "list of each": (
        lambda _: [mask if index % 2 else rle(mask, packed=index > 2) for index, mask in enumerate(disks())],
        painted(disks()),
    ),
    "empty list": (lambda _: [], np.zeros((2, 2), np.int32)),
}


def expected(count: int = 50, **maps: Any) -> np.ndarray:
    return kernels.segment(PIXELS, guidance=kernels.Guidance(**maps)).cut(count)


@pytest.mark.parametrize("kind", STRENGTHS)
def test_every_kind_of_strengths(server: RunningServer, tmp_path: Path, kind: str) -> None:
    make, values = STRENGTHS[kind]
    with Client(server.listen) as client:
        guidance = Guidance(edges=make(tmp_path), importance=make(tmp_path))
        result = client.segment(PIXELS, counts=50, guidance=guidance)
    assert np.array_equal(result.labels, expected(edges=values, importance=values))


@pytest.mark.parametrize("kind", PRIORS)
def test_every_kind_of_prior(server: RunningServer, tmp_path: Path, kind: str) -> None:
    make, values = PRIORS[kind]
    with Client(server.listen) as client:
        result = client.segment(PIXELS, counts=50, guidance=Guidance(prior=make(tmp_path), prior_weight=300))
    assert np.array_equal(result.labels, expected(prior=values, prior_weight=300))


def test_both_clients_and_this_process_give_the_same_bytes(server: RunningServer, caller: Caller) -> None:
    guidance = Guidance(EDGES, 3, PRIOR, "hard", importance=IMPORTANCE, required_version=1)
    file = encoded(PIXELS)
    result = caller.segment(
        server.listen, file, counts=[200, 50], guidance=guidance, required_algorithm_version=1
    )
    assert result.spx == segment_file(file, counts=[200, 50], guidance=guidance).spx
    assert result.provenance == result.label_map.provenance
    assert result.provenance is not None
    fitted = kernels.Guidance(EDGES, 3, PRIOR, "hard", importance=IMPORTANCE).fitted(HEIGHT, WIDTH)
    assert result.provenance.guidance == fitted.record
    assert np.array_equal(result.labels_at(50), kernels.segment(PIXELS, guidance=fitted).cut(50))
    # PRIOR is a grid of 17 x 13 pixels; at this count the superpixels are its cells.
    assert result.prior_components == 8 * 7
    _, cells = np.unique(PRIOR, return_inverse=True)
    assert np.array_equal(result.labels_at(56), cells.reshape(PRIOR.shape))


def test_guidance_of_the_engine_is_taken_too(server: RunningServer, caller: Caller) -> None:
    guidance: Any = kernels.Guidance(edges=EDGES, prior=PRIOR)
    result = caller.segment(server.listen, PIXELS, counts=50, guidance=guidance)
    assert np.array_equal(result.labels, expected(edges=EDGES, prior=PRIOR))
    with pytest.raises(TypeError, match="guidance must be Guidance, got ndarray"):
        caller.segment(server.listen, PIXELS, counts=50, guidance=EDGES)


def test_a_level_of_a_label_map(server: RunningServer, caller: Caller) -> None:
    result = caller.segment(
        server.listen, PIXELS, counts=50, guidance=Guidance(prior=SPX, prior_count=9, prior_mode="hard")
    )
    assert np.array_equal(result.labels, expected(prior=codec.decode(SPX).labels_at(9), prior_mode="hard"))


def test_large_maps_are_sent_as_png() -> None:
    """Above 4 MiB they are packed, in the smallest form that holds the labels."""
    large = np.arange(2100 * 2100, dtype=np.int32).reshape(2100, 2100)
    for labels, mode in ((large & 255, "L"), (large & 65_535, "I;16"), (large, "RGB")):
        message = build_guidance(Guidance(prior=labels))
        assert message is not None
        with Image.open(io.BytesIO(message.prior.png)) as picture:
            assert picture.mode == mode
            values = np.asarray(picture).astype(np.int64)
        if mode == "RGB":
            values = values @ np.array([1, 256, 65_536])
        assert np.array_equal(values, labels)
    message = build_guidance(Guidance(prior=large + 2**24))
    assert message is not None
    assert message.prior.raw.bits == 32


# ---- many images


def test_each_image_of_a_stream_has_its_guidance(server: RunningServer, caller: Caller) -> None:
    pictures = {number: scene(seed=number) for number in range(3)}

    def guidance_of(number: int) -> Guidance | None:
        if number == 3:
            return Guidance(edges="/nowhere/e.png")
        return Guidance(edges=np.roll(EDGES, number, axis=1)) if number else None

    pairs = [*pictures.items(), (3, PIXELS)]
    results = dict(caller.segment_many(server.listen, pairs, counts=50, guidance=guidance_of))
    for number, picture in pictures.items():
        edges = np.roll(EDGES, number, axis=1) if number else None
        by_engine = kernels.segment(picture, guidance=kernels.Guidance(edges=edges)).cut(50)
        outcome = results[number]
        assert isinstance(outcome, Segmentation)
        assert np.array_equal(outcome.labels, by_engine)
    failed = results[3]
    assert isinstance(failed, InvalidRequest)
    assert failed.field == "guidance.edges"
    assert "cannot read /nowhere/e.png: No such file" in failed.message


def test_one_guidance_for_all_images_of_a_stream(server: RunningServer, caller: Caller) -> None:
    guidance = Guidance(prior=PRIOR)
    results = caller.segment_many(server.listen, enumerate([PIXELS, PIXELS]), counts=50, guidance=guidance)
    for _, outcome in results:
        assert isinstance(outcome, Segmentation)
        assert np.array_equal(outcome.labels, expected(prior=PRIOR))


def test_an_image_with_large_maps_does_not_end_the_stream(server: RunningServer, caller: Caller) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1900, 1900), np.uint8)

    def guidance_of(number: int) -> Guidance | None:
        return Guidance(edges=noise) if number else None

    results = dict(
        caller.segment_many(server.listen, enumerate([PIXELS, PIXELS]), counts=5, guidance=guidance_of)
    )
    assert isinstance(results[0], Segmentation)
    failed = results[1]
    assert isinstance(failed, InvalidRequest)
    assert (failed.reason, failed.field) == ("GUIDANCE_TOO_MANY_BYTES", "guidance")


# ---- errors

WRONG: dict[str, tuple[Guidance, str, str]] = {
    "a missing file": (Guidance(edges="/nowhere/e.png"), "guidance.edges", "cannot read /nowhere/e.png"),
    "a name with a zero byte": (Guidance(prior="a\0b"), "guidance.prior", "cannot read"),
    "floats": (Guidance(edges=EDGES / 255), "guidance.edges", "float64"),
    "edges of 16 bits": (Guidance(edges=EDGES.astype(np.uint16)), "guidance.edges", "uint8"),
    "edges in colour": (Guidance(edges=PIXELS), "guidance.edges", "(90, 120, 3)"),
    "a Pillow image in colour": (Guidance(importance=Image.fromarray(PIXELS)), "guidance.importance", "RGB"),
    "an empty array": (Guidance(edges=EDGES[:0]), "guidance.edges", "not empty"),
    "labels below 0": (Guidance(prior=PRIOR - 1), "guidance.prior", "got -1"),
    "labels of 2^31": (Guidance(prior=PRIOR.astype(np.int64) + 2**31), "guidance.prior", "2147483647"),
    "a prior of mode RGBA": (
        Guidance(prior=Image.fromarray(PIXELS).convert("RGBA")),
        "guidance.prior",
        "RGBA",
    ),
    "masks of two sizes": (
        Guidance(prior=[np.ones((3, 4)) > 0, np.ones((4, 3)) > 0]),
        "guidance.prior",
        "mask 1 is (4, 3), mask 0 (3, 4)",
    ),
    "a mask of text": (Guidance(prior=["abc"]), "guidance.prior", "mask 0"),  # type: ignore[list-item]
    "a mask of one dimension": (Guidance(prior=[np.ones(4) > 0]), "guidance.prior", "mask 0"),
    "a mask without counts": (Guidance(prior=[{"size": [3, 4]}]), "guidance.prior", "mask 0"),
    "a mask without size": (Guidance(prior=[{"counts": "525"}]), "guidance.prior", "mask 0"),
    "a polygon": (Guidance(prior=[{"segmentation": [[1, 2, 3, 4, 5, 6]]}]), "guidance.prior", "mask 0"),
    "lengths below 0": (Guidance(prior=[{"size": [3, 4], "counts": [-1]}]), "guidance.prior", "mask 0"),
    "counts that are no text of COCO": (
        Guidance(prior=[{"size": [3, 4], "counts": "é"}]),
        "guidance.prior",
        "mask 0",
    ),
    "damaged JSON": (Guidance(prior=b'{"annotations": [}'), "guidance.prior", "is not JSON"),
    "JSON without masks": (Guidance(prior=b'{"images": []}'), "guidance.prior", "annotations"),
    "JSON of two images": (
        Guidance(prior=b'[{"image_id": 1, "segmentation": {}}, {"image_id": 2, "segmentation": {}}]'),
        "guidance.prior",
        "those of 2",
    ),
    "an unknown mode": (Guidance(prior=PRIOR, prior_mode="firm"), "guidance.prior_mode", "soft, hard"),  # type: ignore[arg-type]
    "a weight below 0": (Guidance(edge_weight=-1), "guidance.edge_weight", "got -1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_rejected_before_it_is_sent(name: str) -> None:
    guidance, field, text = WRONG[name]
    with pytest.raises(InvalidRequest) as error:
        build_guidance(guidance)
    assert error.value.field == field
    assert text in error.value.message
    assert error.value.reason


def test_an_error_of_the_server_names_the_map(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(InvalidRequest) as error:
        caller.segment(server.listen, PIXELS, counts=50, guidance=Guidance(edges=encoded(PIXELS, "JPEG")))
    assert error.value.reason == "GUIDANCE_MAP_INVALID"
    assert error.value.metadata["map"] == "edges"
    with pytest.raises(InvalidRequest) as error:
        segment_file(encoded(PIXELS), counts=50, guidance=Guidance(edges=encoded(PIXELS, "JPEG")))
    assert error.value.reason == "GUIDANCE_MAP_INVALID"
    assert error.value.metadata["map"] == "edges"


# ---- versions, and servers that do not know guidance


def test_a_required_version_that_the_server_lacks(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(VersionUnavailable) as error:
        caller.segment(server.listen, PIXELS, counts=5, required_algorithm_version=2)
    assert error.value.reason == "VERSION_UNAVAILABLE"
    assert error.value.metadata["algorithm_version"] == "1"
    with pytest.raises(VersionUnavailable):
        segment_file(encoded(PIXELS), counts=5, required_algorithm_version=2)
    with pytest.raises(VersionUnavailable):
        segment_file(encoded(PIXELS), counts=5, guidance=Guidance(edges=EDGES, required_version=7))


def test_a_missing_version_is_not_tried_again(caller: Caller) -> None:
    error = ServerVersionUnavailable("text", {"algorithm_version": "1"})
    with serving(Scripted(unary=[lambda context: refuse(context, error)])) as scripted:
        with pytest.raises(VersionUnavailable):
            caller.segment(scripted.address, PIXELS, counts=5)
        assert len(scripted.calls) == 1


def test_an_older_server_is_found_out(caller: Caller) -> None:
    """It ignores fields that it does not know, and its answers do not say what they were made from."""
    with serving(Scripted()) as scripted:
        result = caller.segment(scripted.address, PIXELS, counts=7)
        assert result.provenance is None
        with pytest.raises(NotServed, match="does not know guidance"):
            caller.segment(scripted.address, PIXELS, counts=7, guidance=Guidance(edges=EDGES))
        with pytest.raises(VersionUnavailable):
            caller.segment(scripted.address, PIXELS, counts=7, required_algorithm_version=1)
        small, edges = PIXELS[:20, :30].copy(), EDGES[:20, :30].copy()
        results = caller.segment_many(
            scripted.address, enumerate([small, small]), counts=7, guidance=Guidance(edges=edges)
        )
        assert [type(outcome) for _, outcome in results] == [NotServed, NotServed]
        assert all(isinstance(outcome, SegmentError) for _, outcome in results)


def test_the_servers_information_has_the_version(server: RunningServer) -> None:
    with Client(server.listen) as client:
        info = client.server_info()
    assert (info.guidance_version, info.prior_modes) == (kernels.GUIDANCE_VERSION, ("soft", "hard"))
    with serving(Scripted()) as scripted, Client(scripted.address) as client:
        info = client.server_info()
    assert (info.guidance_version, info.prior_modes) == (None, ())


def test_a_request_without_guidance_has_none() -> None:
    assert build_guidance(None) is None
    assert build_guidance(Guidance()) == pb.Guidance(prior_mode=pb.PRIOR_MODE_SOFT)
