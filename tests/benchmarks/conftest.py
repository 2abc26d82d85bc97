from pathlib import Path

import pytest
from PIL import Image

from tests.kernels import images


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two photographs, laid out as the data of the benchmarks."""
    (tmp_path / "images").mkdir()
    for name, size in (("a", (300, 200)), ("b", (200, 300))):
        Image.fromarray(images.photo(*size)).save(tmp_path / "images" / f"{name}.jpg", quality=95)
    return tmp_path
