"""Data sets for tests, and what a run made of them."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from superpixel_service import segment_file
from tests.service.images import encoded, scene

WIDTH, HEIGHT = 60, 40


def image(seed: int = 0) -> bytes:
    return encoded(scene(WIDTH, HEIGHT, seed))


def expected(data: bytes, **wanted: Any) -> bytes:
    return bytes(segment_file(data, backend="cpu", threads=1, **wanted).spx)


def fill(folder: Path, names: list[str]) -> dict[str, bytes]:
    """Write an image per name, all different."""
    images = {name: image(seed) for seed, name in enumerate(names)}
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return images


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_parquet(path: Path, **columns: list[Any]) -> None:
    pq.write_table(pa.table(columns), path)


def rows(out: Path) -> list[dict[str, Any]]:
    if not (out / "manifest").exists():
        return []
    found: list[dict[str, Any]] = pyarrow.dataset.dataset(out / "manifest").to_table().to_pylist()
    return sorted(found, key=lambda row: row["key"])


def label_maps(out: Path) -> dict[str, bytes]:
    """The label map of every row, by the image's name. No name may occur twice."""
    found: dict[str, bytes] = {}
    every = rows(out)
    assert len({row["key"] for row in every}) == len(every)
    for row in every:
        if row["error"] is None:
            data = (out / row["file"]).read_bytes()
            spx = data[row["offset"] : row["offset"] + row["spx_bytes"]]
            if row["file"].endswith(".tar"):
                with tarfile.open(out / row["file"]) as tar:
                    member = tar.extractfile(f"{row['key']}.spx")
                    assert member is not None
                    assert member.read() == spx
            found[row["key"]] = spx
    return found


def failures(out: Path) -> dict[str, str]:
    return {row["key"]: row["error"] for row in rows(out) if row["error"] is not None}
