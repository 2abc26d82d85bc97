"""Checks of the image for data sets: one process and Ray make the same label maps of a folder."""

from pathlib import Path

from deploy.image.check.build import Image
from deploy.image.check.container import running
from deploy.image.check.report import check, say

_SECONDS = 300

# Runs in the image, as its user. /tmp is the only folder that it may write to.
_PROGRAM = """
import subprocess, tarfile
from pathlib import Path
import numpy, pyarrow.parquet, superpixel_service
from PIL import Image

sample = Path(superpixel_service.__file__).parent / "web/static/samples/astronaut.jpg"
pixels = numpy.asarray(Image.open(sample).convert("RGB"))
folder = Path("/tmp/photos")
folder.mkdir()
for number in range(3):
    Image.fromarray(pixels[60 * number : 60 * number + 200]).save(folder / f"{number}.png")
found = []
for engine in "local", "ray":
    target = Path("/tmp/maps") / engine
    command = ["superpixel", "bulk", str(folder), "--out", str(target), "--format", "shards"]
    subprocess.run([*command, "--counts", "50", "--engine", engine], check=True)
    manifest = pyarrow.parquet.read_table(next(target.rglob("*.parquet"))).to_pylist()
    assert [row["error"] or "" for row in manifest] == [""] * 3, manifest
    maps = {}
    for shard in target.rglob("*.tar"):
        with tarfile.open(shard) as tar:
            maps |= {each.name: tar.extractfile(each).read() for each in tar if each.name.endswith(".spx")}
    assert len(maps) == 3, maps.keys()
    found.append(maps)
assert found[0] == found[1], "Ray's label maps differ"
import s3fs
"""


def check_bulk(image: Image, log: Path) -> None:
    """Segment a folder in the image, without and with Ray.

    Raises:
        CheckFailed: an engine fails, or the label maps differ.
    """
    with running(image, log, entry_point=("python", "-c", _PROGRAM)) as container:
        status = container.launcher.wait(_SECONDS)
    check(status == 0, f"{image.name}: {log.read_text()[-2000:]}")
    say(f"{image.name}: one process and Ray make the same label maps of a folder, in shards with a manifest")
