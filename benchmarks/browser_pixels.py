"""How often Chromium decodes a file to the service's pixels, and how often the maps are equal.

The engine in the browser gives the service's bits if it gets the same pixels. `python -m
benchmarks.browser_pixels` writes each photograph in many formats, and reads it in Chromium in two ways:

- careful: without the colour profile, drawn on white (as the annotation page does)
- plain: `createImageBitmap(file)` drawn on an empty canvas, then `getImageData`; alpha is composited by the
  engine
"""

import argparse
import base64
import io
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from playwright.sync_api import Page

import superpixel_kernels as kernels
from benchmarks.page_tools import ROOT, running_chromium
from superpixel_service.images.decode import decode, open_image
from superpixel_service.model import EncodedImage, SegmentSpec

Picture = NDArray[np.uint8]

READ = """async ([text, isCareful]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const options = isCareful ? { colorSpaceConversion: 'none' } : {};
  const bitmap = await createImageBitmap(new Blob([bytes]), options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (isCareful) {
    context.fillStyle = '#fff';
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob([data]));
  });
  return [width, height, url.slice(url.indexOf(',') + 1)];
}"""


def wide_profile() -> bytes:
    """An sRGB profile with the primaries of Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for at in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12):
        name, start, _ = struct.unpack(">4sII", profile[at : at + 12])
        if name in primaries:
            values = (round(65536 * value) for value in primaries[name])
            profile[start + 8 : start + 20] = struct.pack(">3i", *values)
    return bytes(profile)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _with_alpha(picture: Image.Image) -> Image.Image:
    """The photograph with an alpha that rises from left to right."""
    ramp = np.linspace(0, 255, picture.width).astype(np.uint8)
    result = picture.convert("RGBA")
    result.putalpha(Image.fromarray(np.broadcast_to(ramp, (picture.height, picture.width)).copy()))
    return result


def _sixteen_bits(picture: Image.Image) -> bytes:
    gray = np.asarray(picture.convert("L")).astype(np.uint16)
    return _saved(Image.fromarray(gray * 200 + 17), "PNG")


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 4:4:4": lambda picture: _saved(picture, "JPEG", quality=92, subsampling=0),
    "JPEG 4:2:2": lambda picture: _saved(picture, "JPEG", quality=85, subsampling=1),
    "JPEG 4:2:0": lambda picture: _saved(picture, "JPEG", quality=85, subsampling=2),
    "JPEG 4:2:0, progressive": lambda picture: _saved(picture, "JPEG", quality=75, progressive=True),
    "JPEG, gray": lambda picture: _saved(picture.convert("L"), "JPEG", quality=85),
    "JPEG, rotated by EXIF": lambda picture: _saved(picture, "JPEG", quality=85, exif=_rotated()),
    "JPEG, CMYK": lambda picture: _saved(picture.convert("CMYK"), "JPEG", quality=85),
    "JPEG, wide colour profile": lambda picture: _saved(
        picture, "JPEG", quality=85, icc_profile=wide_profile()
    ),
    "PNG, RGB": lambda picture: _saved(picture, "PNG", compress_level=1),
    "PNG, palette": lambda picture: _saved(picture.quantize(200), "PNG"),
    "PNG, gray of 16 bits": _sixteen_bits,
    "PNG, RGBA": lambda picture: _saved(_with_alpha(picture), "PNG", compress_level=1),
    "PNG, wide colour profile": lambda picture: _saved(
        picture, "PNG", compress_level=1, icc_profile=wide_profile()
    ),
    "WebP, lossy": lambda picture: _saved(picture, "WEBP", quality=80, method=0),
    "WebP, lossless": lambda picture: _saved(picture, "WEBP", lossless=True, quality=10, method=0),
    "WebP, lossy with alpha": lambda picture: _saved(_with_alpha(picture), "WEBP", quality=80, method=0),
}


def _rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


class _Limits:
    """No limits."""

    max_image_bytes = 1 << 40
    max_image_pixels = kernels.MAX_PIXELS


def served(file: bytes) -> Picture:
    """The pixels that the service segments."""
    spec = SegmentSpec(EncodedImage(file), include_hierarchy=True)
    pixels, _ = decode(open_image(spec, _Limits()), None)
    return _rgb(np.asarray(pixels))


def _rgb(pixels: Picture) -> Picture:
    """RGB, composited on white."""
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[2] == 1:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if pixels.shape[2] == 4:
        wide = pixels.astype(np.int32)
        alpha = wide[..., 3:]
        pixels = ((wide[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def shown(page: Page, file: bytes, *, careful: bool) -> Picture:
    """The pixels that a page gets."""
    width, height, data = page.evaluate(READ, [base64.b64encode(file).decode(), careful])
    return _rgb(np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4))


def base_of(pixels: Picture) -> NDArray[np.int32]:
    """The superpixels at an average of 64 pixels, as the annotation page has them."""
    hierarchy = kernels.segment(pixels)
    return hierarchy.cut(min(hierarchy.base_count, max(1, int(pixels.shape[0] * pixels.shape[1] / 64 + 0.5))))


def report(page: Page, photographs: list[Path]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| file | same pixels: careful | same map | largest difference | same pixels: plain | same map |"
    yield "|---|---|---|---|---|---|"
    pictures = [Image.open(path).convert("RGB") for path in photographs]
    kinds = {"as they are": None, **FORMATS}
    for name, write in kinds.items():
        sums = np.zeros(4, int)
        largest = 0
        for path, picture in zip(photographs, pictures, strict=True):
            file = path.read_bytes() if write is None else write(picture)
            wanted = served(file)
            expected = None
            for at, careful in ((0, True), (2, False)):
                found = shown(page, file, careful=careful)
                same = found.shape == wanted.shape and bool(np.array_equal(found, wanted))
                if careful and found.shape == wanted.shape:
                    largest = max(largest, int(np.abs(found.astype(int) - wanted.astype(int)).max()))
                same_map = same
                if not same and found.shape == wanted.shape:
                    expected = base_of(wanted) if expected is None else expected
                    same_map = bool(np.array_equal(base_of(found), expected))
                sums[at] += same
                sums[at + 1] += same_map
        shares = [f"{100 * int(each) / len(pictures):.0f} %" for each in sums]
        yield f"| {name} | {shares[0]} | {shares[1]} | {largest} | {shares[2]} | {shares[3]} |"


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--photos", type=Path, default=ROOT / "examples" / "photos", help="folder of JPEG files"
    )
    parser.add_argument("--count", type=int, default=20, help="how many of them")
    arguments = parser.parse_args()
    photographs = sorted(arguments.photos.rglob("*.jpg"))[: arguments.count]
    with running_chromium() as browser:
        page = browser.new_page()
        page.goto("about:blank")
        sys.stdout.write(f"{len(photographs)} photographs, Chromium {browser.version}\n")
        for line in report(page, photographs):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
