"""The CUDA engine with guidance: every stage `==` the C++ engine."""

import numpy as np
import pytest

from superpixel_kernels import Guidance, SegmentParams, segment
from superpixel_kernels.cuda import bytes_needed
from superpixel_kernels.cuda.guidance import kind_of
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import Counter, GuidanceKind
from superpixel_kernels.errors import InvalidParameter
from tests.kernels import golden, golden_guidance, images
from tests.kernels.cuda_tools import assert_equal_stages, assert_same_hierarchy, run_trace
from tests.kernels.devices import ON_GPU, TUNING, open_pipeline, open_workspace
from tests.kernels.guided import any_guidance
from tests.kernels.marks import marked
from tests.kernels.traces import IMAGES, assert_same

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


def random_guidance(seed, image):
    return Guidance(**any_guidance(np.random.default_rng(seed), *image.shape[:2]))


def golden_maps(width, height, **more):
    return Guidance(
        edges=golden_guidance.edges(width, height),
        prior=golden_guidance.prior(width, height),
        importance=golden_guidance.importance(width, height),
        **more,
    )


# Each other row has one of these that covers it.
QUICK = ["120x90-all-soft-scaled", "120x90-all-hard", "120x90-hard-hash", "60x40-hard", "480x320-hard-dots"]


@pytest.mark.parametrize(
    "row",
    marked(golden_guidance.ROWS, pytest.mark.slow, [r for r in golden_guidance.ROWS if str(r) not in QUICK]),
    ids=str,
)
def test_golden_row(row):
    result = run_trace(row.pixels(), 10.0, open_pipeline(), Guidance(**row.guidance()))
    assert (len(result["nodes"]), len(result["edges"])) == (row.regions, row.edges)
    assert result["rounds"] == sum(row.rounds)
    assert result.get("prior_components") == row.components
    assert golden.crc(result["base"]) == row.base
    assert golden.crc(result["merges"]) == row.merges


@pytest.mark.parametrize("name", marked(IMAGES, pytest.mark.slow, images.LARGE))
def test_every_stage(name):
    image = IMAGES[name]()
    for seed in range(2):
        assert_equal_stages(image, 10.0, seed, random_guidance(100 * len(name) + seed, image))


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize(
    ("prior_mode", "mode"),
    [
        ("soft", "race"),
        ("hard", "asan"),
        pytest.param("hard", "race", marks=pytest.mark.slow),
        pytest.param("soft", "asan", marks=pytest.mark.slow),
    ],
)
def test_no_races_and_no_stray_accesses(mode, prior_mode):
    guidance = golden_maps(60, 40, prior_mode=prior_mode)
    assert_equal_stages(images.golden(60, 40), 10.0, 7, guidance, mode=mode)


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize("mode", ["race", pytest.param("asan", marks=pytest.mark.slow)])
def test_no_races_in_collective_rounds_of_both_runs(mode):
    """Many small islands of two labels in a sea: stars in either run."""
    image = images.islands(130, 110)
    prior = golden_guidance.hash_prior(130, 110)
    actual = assert_equal_stages(image, 10.0, 8, Guidance(prior=prior, prior_mode="hard"), mode=mode)
    assert 1 < actual["prior_components"] < len(actual["nodes"])


def test_more_labels_than_the_table_has_room_for():
    """Every pixel has a label of its own: the labels of the regions are then counted in several passes."""
    image = images.photo(80, 60)
    prior = np.random.default_rng(1).permutation(80 * 60).reshape(60, 80)
    line = open_pipeline(2)
    left_out = []

    def observe(name, stage):
        if name == "graph":
            counters = np.empty(len(Counter), np.uint32)
            line.device.download((stage.workspace["counters"][: len(Counter)], counters))
            left_out.append(int(counters[Counter.PAIRS_LEFT_OUT]))

    fitted = Guidance(prior=prior).fitted(60, 80)
    with line.device.active():
        result = line.segment(image, (60, 80), Settings(10.0), None, observe, fitted)
    assert left_out[0] == 1
    assert left_out[-1] == 0
    expected = segment(image, guidance=Guidance(prior=prior), backend="cpu")
    assert_same("merges", result.records, expected.merges.view(np.int32).reshape(-1, 4))


@pytest.mark.parametrize("prior_mode", ["soft", "hard"])
def test_more_regions_than_guessed(prior_mode):
    assert_equal_stages(images.noise(80, 60), 10.0, 6, golden_maps(80, 60, prior_mode=prior_mode))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"edges": 1}, {"prior": 1}, {"prior": 1, "prior_mode": "hard"}, {"importance": 1}],
    ids=lambda arguments: "-".join(map(str, arguments.values())) or "none",
)
def test_bytes_needed_is_what_is_allocated(arguments):
    image = images.photo(80, 60)
    maps = {name: getattr(golden_guidance, name)(80, 60) for name in arguments if name != "prior_mode"}
    fitted = Guidance(**(arguments | maps)).fitted(60, 80)
    line = open_pipeline()
    with line.device.active():
        line.segment(image, (60, 80), Settings(10.0), guidance=fitted)
    assert line.workspace.bytes == bytes_needed(80, 60, tuning=TUNING, guidance=kind_of(fitted))


@pytest.mark.parametrize("prior", ["soft", "hard"])
def test_maps_need_at_most_twelve_bytes_a_pixel(prior):
    for width, height in ((481, 321), (1920, 1080), (3840, 2160)):
        all_maps = GuidanceKind(edges=True, prior=prior, importance=True)
        more = bytes_needed(width, height, guidance=all_maps) - bytes_needed(width, height)
        assert more <= 12 * width * height


def test_guided_and_unguided_images_in_turn():
    """What a guided image leaves in the workspace does not matter to the next one."""
    image, workspace = images.photo(80, 60), open_workspace()
    for seed in range(6):
        guidance = random_guidance(seed, image)
        for one in (guidance, None):
            actual = segment(image, guidance=one, workspace=workspace)
            expected = segment(image, guidance=one, backend="cpu")
            assert_same_hierarchy(actual, expected)
            assert actual.prior_components == expected.prior_components
            assert_same("cut", actual.cut(3000), expected.cut(3000))


def test_results_on_the_device():
    image, workspace = images.photo(80, 60), open_workspace()
    guidance = golden_maps(80, 60, prior_mode="hard")
    made = workspace.segment_on_device(image, SegmentParams(), guidance=guidance)
    expected = segment(image, guidance=guidance, backend="cpu")
    assert (made.base_count, made.prior_components) == (expected.base_count, expected.prior_components)


def test_guidance_of_another_size():
    fitted = golden_maps(60, 40).fitted(40, 60)
    with pytest.raises(InvalidParameter, match="is fitted to 60x40, and the image is 80x60"):
        segment(images.photo(80, 60), guidance=fitted, workspace=open_workspace())
