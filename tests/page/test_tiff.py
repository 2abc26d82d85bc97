"""TIFF files on the page: the browser cannot show them, so the page decodes them, as the server does."""

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from playwright.sync_api import expect

from tests.kernels.marks import marked
from tests.page.annotator import Annotator
from tests.service.decoding import read

WIDTH, HEIGHT = 90, 60
ORIENTATION = 274


def picture(channels: int, dtype: type = np.uint8) -> npt.NDArray[Any]:
    """(HEIGHT, WIDTH, channels): a gradient per channel, and a square that tells the corners apart."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [(x + (2 + each) * y) / (WIDTH + (2 + each) * HEIGHT) for each in range(channels)]
    values = np.stack(planes, axis=2) * np.iinfo(dtype).max
    values[5:15, 5:25] = 0
    return values.astype(dtype)


def by_pillow(values: npt.NDArray[Any], mode: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(values.squeeze())
    (image.convert(mode) if mode else image).save(file, "TIFF", **options)
    return file.getvalue()


def by_tifffile(values: npt.NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values.squeeze(), **options)
    return file.getvalue()


def multiplied() -> npt.NDArray[np.uint8]:
    """RGB multiplied by alpha, and alpha."""
    rgba = picture(4)
    rgba[..., :3] = (rgba[..., :3] / 255.0 * rgba[..., 3:]).round()
    return rgba


def on_white(image: Image.Image) -> npt.NDArray[np.int64]:
    ground = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(ground, image.convert("RGBA"))).astype(np.int64)


def pages() -> bytes:
    file = io.BytesIO()
    first, second = Image.fromarray(picture(3)), Image.new("RGB", (WIDTH, HEIGHT))
    first.save(file, "TIFF", save_all=True, append_images=[second])
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: by_pillow(picture(3)),
    "gray": lambda: by_pillow(picture(1)),
    "palette": lambda: by_pillow(picture(3), "P"),
    "alpha": lambda: by_pillow(picture(4)),
    "CMYK": lambda: by_pillow(picture(3), "CMYK"),
    "gray and alpha": lambda: by_tifffile(
        picture(2), photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    ),
    "multiplied alpha": lambda: by_tifffile(multiplied(), photometric="rgb", extrasamples=["assocalpha"]),
    "JPEG in YCbCr": lambda: by_tifffile(
        picture(3), photometric="ycbcr", subsampling=(1, 1), compression="jpeg"
    ),
    "LZW": lambda: by_pillow(picture(3), compression="tiff_lzw"),
    "deflate": lambda: by_pillow(picture(3), compression="tiff_adobe_deflate", tiffinfo={317: 2}),
    "PackBits": lambda: by_pillow(picture(3), compression="packbits"),
    "JPEG": lambda: by_pillow(picture(3), compression="jpeg", quality=95),
    "16 bits": lambda: by_pillow(picture(1, np.uint16) // 7 + 900),
    "RGB of 16 bits": lambda: by_tifffile(picture(3, np.uint16) // 7 + 900, photometric="rgb"),
    "white is zero": lambda: by_tifffile(picture(1), photometric="miniswhite"),
    "tiles": lambda: by_tifffile(picture(3), photometric="rgb", tile=(32, 48)),
    "planes": lambda: by_tifffile(picture(3).transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
    "big-endian": lambda: by_tifffile(picture(3), photometric="rgb", byteorder=">"),
    "BigTIFF": lambda: by_tifffile(picture(3), photometric="rgb", bigtiff=True),
    "pages": pages,
    **{
        f"orientation {each}": lambda each=each: by_pillow(picture(3), tiffinfo={ORIENTATION: each})
        for each in range(2, 9)
    },
}


KEEP_WHAT_IS_SENT = """() => {
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (body) {
    window.sent = body;
    return send.call(this, body);
  };
}"""


QUICK = ("16 bits", "tiles", "orientation 6")


@pytest.mark.parametrize("names", [QUICK, pytest.param(FILES, marks=pytest.mark.slow)], ids=["some", "all"])
def test_tiff_files_are_sent_as_the_server_reads_them(annotator: Annotator, names: Iterable[str]) -> None:
    annotator.page.evaluate(KEEP_WHAT_IS_SENT)
    for name in names:
        file = FILES[name]()
        annotator("#file-input").set_input_files(
            {"name": f"{name}.tif", "mimeType": "image/tiff", "buffer": file}
        )
        annotator.wait_for_status(f"{name}.tif: ")
        sent = annotator.page.evaluate("sent.arrayBuffer().then((data) => [...new Uint8Array(data)])")
        found = on_white(Image.open(io.BytesIO(bytes(sent))))
        wanted = on_white(Image.fromarray(read(file, first_frame_only=True)[0].squeeze()))
        assert found.shape == wanted.shape, name
        # Colour spaces differ by rounding; decoders of JPEG by a little more.
        assert np.abs(found - wanted).max() <= {"CMYK": 2, "JPEG": 6, "JPEG in YCbCr": 6}.get(name, 1), name


NOT_SHOWN: dict[str, Callable[[], bytes]] = {
    "cut": lambda: by_pillow(picture(3))[:200],
    "floating point": lambda: by_tifffile(picture(1).astype(np.float32)),
    "32 bits": lambda: by_tifffile(picture(1, np.uint32)),
    "CMYK of 16 bits": lambda: by_tifffile(picture(4, np.uint16), photometric="separated"),
    "fax": lambda: by_pillow(picture(3), "1", compression="group4"),
}


@pytest.mark.parametrize("name", marked(NOT_SHOWN, pytest.mark.slow, NOT_SHOWN.keys() - {"fax"}))
def test_a_tiff_file_that_the_page_cannot_show_is_left_to_the_server(annotator: Annotator, name: str) -> None:
    """Which rejects it for its own reason, or reads it; then the page says what to do."""
    file = NOT_SHOWN[name]()
    annotator("#file-input").set_input_files({"name": "scan.tif", "mimeType": "image/tiff", "buffer": file})
    expect(annotator("#problem-facts")).to_contain_text("NOT_SHOWN" if name == "fax" else "IMAGE_")
    expect(annotator("#problem-title")).to_contain_text("scan.tif")
    if name == "fax":
        expect(annotator("#problem-advice")).to_contain_text("Save it as JPEG or PNG")
        expect(annotator("#problem-retry")).to_be_hidden()
    annotator.complaints.clear()  # the browser logs the status of the answer
