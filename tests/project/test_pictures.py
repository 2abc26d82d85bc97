"""The documents' pictures are what the engine draws today, small, and used."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tools.docs import ROOT, pictures


def differing(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Pixels that differ by more than another build of the WebP encoder would make them: of 255, by 48."""
    return int((np.abs(a.astype(int) - b).max(axis=2) > 48).sum())


def read(file: object) -> NDArray[np.uint8]:
    return np.asarray(Image.open(file).convert("RGB"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_what_is_drawn(name: str) -> None:
    kept = read(pictures.path_of(name))
    drawn = read(io.BytesIO(pictures.packed(pictures.PICTURES[name]())))
    assert kept.shape == drawn.shape
    assert differing(kept, drawn) == 0, "run `make pictures`, and look at them"


def test_a_picture_with_one_superpixel_more_is_another() -> None:
    """So sharp is the comparison above: one of the smallest superpixels is seen."""
    image = pictures.photo("chelsea")
    hierarchy = pictures.segment(image)
    at = [
        read(io.BytesIO(pictures.packed(pictures.draw(image, hierarchy.cut(count), scale=1))))
        for count in (400, 401)
    ]
    assert differing(*at) > 0


def test_pictures_are_small_and_none_is_left_over() -> None:
    kept = {path.name: path.stat().st_size for path in pictures.IMAGES.iterdir()}
    drawn = {pictures.path_of(name).name for name in pictures.PICTURES}
    assert drawn <= set(kept)
    assert [name for name in drawn if kept[name] > 100_000] == []
    texts = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
    assert [name for name in kept if f"images/{name}" not in texts] == []
