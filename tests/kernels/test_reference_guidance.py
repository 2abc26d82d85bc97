"""The reference with guidance: the algorithm page's golden values, and tables to check by hand."""

import pytest

from tests.kernels import golden, golden_guidance, reference

pytestmark = pytest.mark.unsanitized  # no native code


def maps_of(row):
    arguments = row.guidance()
    for name in ("edges", "prior", "importance"):
        if name in arguments:
            arguments[name] = reference.guidance.scaled(arguments[name], row.width, row.height)
    return reference.guidance.Maps(**arguments)


@pytest.mark.parametrize("size", [(120, 90), (60, 40)], ids=str)
def test_maps_of_the_golden_rows(size):
    made = (golden_guidance.edges, golden_guidance.prior, golden_guidance.importance)
    assert tuple(golden.crc(make(*size)) for make in made) == golden_guidance.MAPS[size]


def test_other_maps_of_the_golden_rows():
    scaled = golden_guidance.scaled_maps().values()
    sums = tuple(golden.crc(reference.guidance.scaled(values, 120, 90)) for values in scaled)
    assert sums == golden_guidance.MAPS["scaled"]
    assert golden.crc(golden_guidance.hash_prior(120, 90)) == golden_guidance.HASH_MAP
    assert golden.crc(golden_guidance.dots_prior(480, 320)) == golden_guidance.DOTS_MAP


@pytest.mark.parametrize("row", golden_guidance.ROWS, ids=str)
def test_golden_row(row):
    result = reference.trace(row.pixels(), 10.0, maps_of(row))
    assert len(result.nodes) == row.regions
    assert len(result.edges) == row.edges
    assert result.prior_components == row.components
    runs = result.runs or [result]
    assert tuple(run.rounds for run in runs) == row.rounds
    collective_rounds = tuple(len(run.collective_rounds) for run in runs)
    assert collective_rounds == (row.collective_rounds or (0,) * len(runs))
    assert golden.crc(result.base) == row.base
    assert golden.crc(result.merges) == row.merges
    pixel_merges = None
    if max(count for count, _ in row.maps) > row.regions:
        pixel_merges = reference.pixel_merges(result.smooth, result.base, 10.0)
    for count, checksum in row.maps:
        assert golden.crc(reference.cut(result.base, result.merges, count, pixel_merges)) == checksum
