"""The comparison of ways to select segments, on made-up clicks."""

import numpy as np
import pytest
from benchmarks.fewest_clicks import NEVER

from benchmarks import effort


def test_segments_are_neither_specks_nor_background() -> None:
    # Of 10,000 pixels: 5,990, 4,000 (40 %) and 10 (0.1 %); then 4,001 and 9.
    truth = np.repeat(np.array([0, 1, 2], np.int32), [5_990, 4_000, 10]).reshape(100, 100)
    assert effort.choose_segments(truth).tolist() == [1, 2]
    truth = np.repeat(np.array([0, 1, 2], np.int32), [5_990, 4_001, 9]).reshape(100, 100)
    assert effort.choose_segments(truth).tolist() == []


def test_ways_to_work_are_compared_on_segments_that_any_way_reaches() -> None:
    # Four segments. The second size needs 9 clicks for the second segment, the third size 50; others never
    # reach it. No size reaches the third segment. No way reaches the last.
    sizes = len(effort.SIZES)
    flat = np.full((4, sizes), NEVER)
    flat[0], flat[1, 1], flat[1, 2], flat[2] = 3, 9, 50, NEVER
    work = effort.Effort(
        shares=np.full(4, 0.1),
        flat={"ours": flat},
        by_purity=np.array([2, 4, 6, NEVER]),
        positions=np.array([1, 1, 2, 0]),
        fewest=np.array([2, 3, 5, NEVER]),
    )
    possible = ~effort.unreached_by_all(work)
    assert possible.tolist() == [True, True, True, False]
    rows = {row.name: row for row in effort.compare(work, possible)}
    one_size = rows["ours, one size"]
    assert one_size.size == effort.SIZES[1]
    assert one_size.reached == pytest.approx(2 / 3)
    assert one_size.median == 9
    assert one_size.mean == pytest.approx((3 + 9 + effort.DRAWN_CLICKS) / 3)
    assert one_size.mean_reached == pytest.approx((3 + 9) / 2)
    assert one_size.fewest_there == pytest.approx((2 + 3) / 2)
    assert rows[effort.BY_PURITY].mean == pytest.approx((2 + 4 + 6) / 3)
    assert effort.finished_within(work.by_purity[possible])[[1, 2, 4, 6]].tolist() == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
