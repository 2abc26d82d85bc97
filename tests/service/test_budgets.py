"""The default budgets: they follow from the memory, and explicit values count."""

from typing import Any

import pytest

from superpixel_service import config, config_sources
from superpixel_service.budgets import (
    default_budgets,
    largest_photo_bytes,
    most_workers,
    needed_bytes,
    scratch_bytes,
)
from superpixel_service.config import Settings

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30


def needed(budgets: dict[str, int], cores: int) -> int:
    images = budgets["max_inflight_memory_bytes"]
    return needed_bytes(
        workers=most_workers(cores, images),
        images=images,
        messages=budgets["max_inflight_bytes"],
        unsent=budgets["max_unsent_bytes"],
        calls=128,
        cache=budgets["cache_bytes"],
    )


@pytest.mark.parametrize("cores", [1, 2, 8, 64])
@pytest.mark.parametrize("gibibytes", [1.5, 2, 3, 4, 6, 8, 16, 64, 512])
def test_a_server_with_default_budgets_fits_into_its_memory(gibibytes: float, cores: int) -> None:
    memory = int(gibibytes * GIBIBYTE)
    budgets = default_budgets(memory, {})
    assert needed(budgets, cores) <= memory
    # And it uses what there is.
    assert budgets["max_inflight_memory_bytes"] >= 3 * memory // 10


def test_a_large_server_has_the_documented_defaults() -> None:
    budgets = default_budgets(32 * GIBIBYTE, {})
    for name in budgets.keys() - {"max_inflight_memory_bytes", "max_image_memory_bytes"}:
        assert budgets[name] == Settings.model_fields[name].default, name
    assert budgets["max_image_memory_bytes"] == 4 * GIBIBYTE


def test_a_small_server_accepts_smaller_images() -> None:
    small = default_budgets(GIBIBYTE, {})
    assert small["max_image_pixels"] < 10_000_000
    assert largest_photo_bytes(small["max_image_pixels"]) <= small["max_image_memory_bytes"]
    assert small["max_image_memory_bytes"] <= small["max_inflight_memory_bytes"] < GIBIBYTE // 2
    assert small["max_image_bytes"] <= small["max_inflight_bytes"] < 64 * MEBIBYTE
    assert 2 * small["max_answer_bytes"] <= small["max_unsent_bytes"]
    assert most_workers(64, small["max_inflight_memory_bytes"]) < 8


def test_explicit_values_count_and_the_others_follow_from_them() -> None:
    given = {"max_image_pixels": 50_000_000, "cache_bytes": 0, "max_unsent_bytes": 8 * MEBIBYTE}
    budgets = default_budgets(GIBIBYTE, given)
    assert not budgets.keys() & given.keys()
    assert budgets["max_image_memory_bytes"] == largest_photo_bytes(50_000_000)
    assert budgets["max_inflight_memory_bytes"] >= budgets["max_image_memory_bytes"]
    assert budgets["max_answer_bytes"] == 4 * MEBIBYTE
    larger = default_budgets(GIBIBYTE, {"max_image_memory_bytes": 3 * GIBIBYTE})
    assert larger["max_inflight_memory_bytes"] == 3 * GIBIBYTE


def test_all_workers_together_keep_at_most_a_quarter_of_the_images_memory() -> None:
    for workers in (1, 3, 64):
        assert 2 * workers * scratch_bytes(workers, GIBIBYTE) <= GIBIBYTE // 4


def with_memory(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    monkeypatch.setattr(config, "usable_memory", lambda: memory)


def test_settings_follow_the_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 2 * GIBIBYTE)
    monkeypatch.setattr(config, "usable_cores", lambda: 64)
    settings = Settings()
    derived = default_budgets(2 * GIBIBYTE, {})
    assert derived.items() <= settings.model_dump().items()
    assert settings.lane_workers == most_workers(64, derived["max_inflight_memory_bytes"]) < 64
    assert settings.needed_bytes <= 2 * GIBIBYTE
    assert Settings(workers=5).lane_workers == 5


def test_an_explicit_setting_wins_from_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, GIBIBYTE)
    monkeypatch.setenv("SUPERPIXEL_MAX_IMAGE_PIXELS", "40000000")
    loaded = config_sources.load({"cache_bytes": "77", "max_inflight_memory_bytes": "0"})
    settings = loaded.settings
    assert (settings.max_image_pixels, settings.cache_bytes) == (40_000_000, 77)
    assert settings.max_image_memory_bytes >= largest_photo_bytes(40_000_000)
    assert settings.max_inflight_memory_bytes >= settings.max_image_memory_bytes  # 0 means none is given
    assert loaded.origins["max_image_bytes"] == "default"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"max_image_memory_bytes": 10 * MEBIBYTE, "max_image_pixels": 1_000_000},
            f"must be at least {largest_photo_bytes(1_000_000)}",
        ),
        (
            {
                "max_image_memory_bytes": GIBIBYTE,
                "max_inflight_memory_bytes": MEBIBYTE,
                "max_image_pixels": 1,
            },
            "must be at least max_image_memory_bytes",
        ),
    ],
)
def test_memory_for_images_must_suffice_for_the_largest(values: dict[str, Any], text: str) -> None:
    with pytest.raises(config_sources.WrongSettings) as caught:
        config_sources.load({name: str(value) for name, value in values.items()})
    assert text in caught.value.lines[0]
