"""Odd image files, and what Chromium shows of them.

All show four quarters, 16x8 pixels: red, green, blue, yellow. An outcome is the size and the colours of the
corners: top left, top right, bottom left, bottom right; "." is transparent; None: the file is rejected.
"""

import functools
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.service.images import encoded, png_chunk, saved

WIDTH, HEIGHT = 16, 8
COLORS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "Y": (255, 255, 0), "W": (255, 255, 255)}
STORED = "16x8 RGBY"
ORIENTED = dict(
    enumerate(
        (STORED, "16x8 GRYB", "16x8 YBGR", "16x8 BYRG", "8x16 RBGY", "8x16 BRYG", "8x16 YGBR", "8x16 GYRB"), 1
    )
)
EXIF_PREFIX = b"Exif\0\0"


@dataclass(frozen=True)
class OddImage:
    """A file, what we make of it, and what Chromium makes of it if that differs."""

    data: bytes
    outcome: str | None
    in_browser: str | None = ""

    @property
    def browser_outcome(self) -> str | None:
        return self.outcome if self.in_browser == "" else self.in_browser


def outcome_of(rgba: npt.NDArray[np.uint8]) -> str:
    height, width = rgba.shape[:2]
    corners = (rgba[0, 0], rgba[0, -1], rgba[-1, 0], rgba[-1, -1])
    return f"{width}x{height} " + "".join(map(_letter, corners))


def _letter(pixel: npt.NDArray[np.uint8]) -> str:
    if pixel[3] == 0:
        return "."
    return min(COLORS, key=lambda name: int(np.abs(np.subtract(COLORS[name], pixel[:3], dtype=int)).sum()))


def quarters() -> npt.NDArray[np.uint8]:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for name, (rows, columns) in {"R": (0, 0), "G": (0, 8), "B": (4, 0), "Y": (4, 8)}.items():
        pixels[rows : rows + 4, columns : columns + 8] = COLORS[name]
    return pixels


def tiff(orientation: int, kind: int = 3, order: str = "<", count: int = 1) -> bytes:
    """EXIF data with one entry."""
    signature = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, kind, count, orientation, 0)
    return signature + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def _two_entries(first: int, second: int) -> bytes:
    return b"II*\0" + struct.pack("<IH", 8, 2) + tiff(first)[10:22] + tiff(second)[10:22] + bytes(4)


JPEG = encoded(quarters(), "JPEG", quality=95, subsampling="4:4:4")
WEBP = encoded(quarters(), "WEBP", lossless=True)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR = png_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
END = png_chunk(b"IEND", b"")


def _deflated(pixels: npt.NDArray[np.uint8]) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


DATA = _deflated(quarters())
IDAT = png_chunk(b"IDAT", DATA)


def _damaged(kind: bytes, content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    chunk = bytearray(png_chunk(kind, content))
    chunk[-1] ^= 1
    return bytes(chunk)


def _png(*before: bytes, after: bytes = b"") -> bytes:
    return SIGNATURE + IHDR + b"".join(before) + IDAT + after + END


def _app1(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _jpeg(*exif: bytes) -> bytes:
    return JPEG[:2] + b"".join(map(_app1, exif)) + JPEG[2:]


def _webp(exif: bytes, *, first: bool = False) -> bytes:
    extended = b"VP8X" + struct.pack("<IB3x", 10, 8) + bytes([WIDTH - 1, 0, 0, HEIGHT - 1, 0, 0])
    chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) & 1)
    parts = [chunk, WEBP[12:]] if first else [WEBP[12:], chunk]
    body = b"WEBP" + extended + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def orientations() -> dict[str, OddImage]:
    """Format, orientation, and place of the tag."""
    cases = {}
    for value, shown in ORIENTED.items():
        exif = EXIF_PREFIX + tiff(value)
        before_scan = JPEG.index(b"\xff\xda")
        cases |= {
            f"jpeg {value}": OddImage(_jpeg(exif), shown),
            f"jpeg {value}, big-endian": OddImage(_jpeg(EXIF_PREFIX + tiff(value, order=">")), shown),
            f"jpeg {value}, before the scan": OddImage(
                JPEG[:before_scan] + _app1(exif) + JPEG[before_scan:], shown
            ),
            f"jpeg {value}, behind the pixels": OddImage(JPEG[:-2] + _app1(exif) + JPEG[-2:], STORED),
            f"png {value}": OddImage(_png(png_chunk(b"eXIf", tiff(value))), shown),
            f"png {value}, with the prefix of JPEG": OddImage(_png(png_chunk(b"eXIf", exif)), STORED),
            f"png {value}, behind the pixels": OddImage(_png(after=png_chunk(b"eXIf", tiff(value))), STORED),
            f"webp {value}": OddImage(_webp(tiff(value)), STORED),
            f"webp {value}, with the prefix of JPEG": OddImage(_webp(exif), STORED),
            f"webp {value}, before the pixels": OddImage(_webp(tiff(value), first=True), STORED),
        }
    return cases


def exif_oddities() -> dict[str, OddImage]:
    """EXIF that comes twice, or is odd in itself."""
    six, three = EXIF_PREFIX + tiff(6), EXIF_PREFIX + tiff(3)
    nothing = EXIF_PREFIX + b"II*\0" + struct.pack("<IH", 8, 0) + bytes(4)
    return {
        "jpeg, 6 then 3": OddImage(_jpeg(six, three), ORIENTED[6]),
        "jpeg, 3 then 6": OddImage(_jpeg(three, six), ORIENTED[3]),
        "jpeg, nonsense then 6": OddImage(_jpeg(EXIF_PREFIX + b"nonsense", six), STORED),
        "jpeg, no orientation then 6": OddImage(_jpeg(nothing, six), STORED),
        "jpeg, XMP then 6": OddImage(_jpeg(b"http://ns.adobe.com/xap/1.0/\0<x/>", six), ORIENTED[6]),
        "jpeg, another byte in the prefix": OddImage(_jpeg(b"Exif\0\1" + tiff(6)), ORIENTED[6]),
        "jpeg, prefix in capitals": OddImage(_jpeg(b"EXIF\0\0" + tiff(6)), STORED),
        "jpeg, four-byte value": OddImage(_jpeg(EXIF_PREFIX + tiff(6, kind=4)), STORED),
        "jpeg, two values": OddImage(_jpeg(EXIF_PREFIX + tiff(6, count=2)), STORED),
        "jpeg, entries 9 and 6": OddImage(_jpeg(EXIF_PREFIX + _two_entries(9, 6)), ORIENTED[6]),
        "jpeg, entries 3 and 6": OddImage(_jpeg(EXIF_PREFIX + _two_entries(3, 6)), ORIENTED[3]),
        "png, 6 then 3": OddImage(
            _png(png_chunk(b"eXIf", tiff(6)), png_chunk(b"eXIf", tiff(3))), ORIENTED[6]
        ),
        "png, nonsense then 6": OddImage(
            _png(png_chunk(b"eXIf", b"nonsense"), png_chunk(b"eXIf", tiff(6))), STORED
        ),
        "png, wrong checksum": OddImage(_png(_damaged(b"eXIf", tiff(6))), STORED),
    }


def damaged_pngs() -> dict[str, OddImage]:
    """Ancillary chunks do not matter; critical ones do."""
    key = struct.pack(">HHH", *COLORS["R"])
    cases: dict[str, OddImage] = {}
    ancillary = {
        "tEXt": b"a\0b",
        "gAMA": struct.pack(">I", 45455),
        "tRNS": key,
        "sRGB": b"\0",
        "pHYs": bytes(9),
        "cHRM": bytes(32),
        "iCCP": b"p\0\0nonsense",
        "bKGD": bytes(6),
        "sBIT": bytes([8, 8, 8]),
        "acTL": struct.pack(">II", 2, 0),
        "prVt": b"x",
        "zTXt": b"a\0\0" + zlib.compress(bytes(2 << 20)),
        "iTXt": b"a\0\1\0\0\0" + zlib.compress(bytes(2 << 20)),
    }
    for name, content in ancillary.items():
        kind = name.encode()
        cases |= {
            f"{name}, wrong checksum": OddImage(_png(_damaged(kind, content)), STORED),
            f"{name}, too short": OddImage(_png(png_chunk(kind, content[:-1])), STORED),
            f"{name}, empty": OddImage(_png(png_chunk(kind, b"")), STORED),
            f"{name}, damaged, behind the pixels": OddImage(_png(after=_damaged(kind, content)), STORED),
        }
        if name != "acTL":
            whole = "16x8 .GBY" if name == "tRNS" else STORED
            cases[f"{name}, whole"] = OddImage(_png(png_chunk(kind, content)), whole)
    other_key = struct.pack(">HHH", *COLORS["G"])
    first, second = DATA[:20], DATA[20:]
    return cases | {
        "tRNS, too long": OddImage(_png(png_chunk(b"tRNS", key + b"xx")), "16x8 .GBY"),
        "tRNS, twice": OddImage(_png(png_chunk(b"tRNS", key), png_chunk(b"tRNS", other_key)), "16x8 .GBY"),
        "text of 2 MB": OddImage(_png(png_chunk(b"tEXt", b"a\0" + bytes(2 << 20))), STORED),
        "invalid kind": OddImage(_png(png_chunk(b"a1b!", b"x")), STORED),
        "unknown critical chunk": OddImage(_png(png_chunk(b"ABCD", b"x")), None),
        "unknown critical chunk behind the pixels": OddImage(_png(after=png_chunk(b"ABCD", b"x")), STORED),
        "cut-off text behind the pixels": OddImage(
            SIGNATURE + IHDR + IDAT + struct.pack(">I4s", 1 << 20, b"tEXt") + b"abc", STORED
        ),
        "IHDR, wrong checksum": OddImage(SIGNATURE + _damaged(b"IHDR", IHDR[8:-4]) + IDAT + END, None),
        "PLTE, wrong checksum": OddImage(_png(_damaged(b"PLTE", bytes(6))), None),
        "IDAT, wrong checksum": OddImage(SIGNATURE + IHDR + _damaged(b"IDAT", DATA) + END, None),
        "second IDAT, wrong checksum": OddImage(
            SIGNATURE + IHDR + png_chunk(b"IDAT", first) + _damaged(b"IDAT", second) + END, None
        ),
        "IDAT with a gap": OddImage(
            SIGNATURE
            + IHDR
            + png_chunk(b"IDAT", first)
            + png_chunk(b"tEXt", b"a\0b")
            + png_chunk(b"IDAT", second)
            + END,
            None,
        ),
        "IDAT in three parts": OddImage(
            SIGNATURE
            + IHDR
            + b"".join(png_chunk(b"IDAT", part) for part in (b"", first, b"", second, b"surplus"))
            + END,
            STORED,
        ),
        # Chromium has its pixels by then.
        "IEND, wrong checksum": OddImage(SIGNATURE + IHDR + IDAT + _damaged(b"IEND", b""), None, STORED),
        "two IHDR": OddImage(_png(IHDR), None),
        "IHDR behind the pixels": OddImage(_png(after=IHDR), STORED),
    }


def palettes() -> dict[str, OddImage]:
    """Indexed PNGs of 4x1 pixels."""
    colors = bytes(COLORS["R"] + COLORS["G"] + COLORS["B"])
    palette, alpha = png_chunk(b"PLTE", colors), png_chunk(b"tRNS", b"\0\x80")
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 8, 3, 0, 0, 0))

    def indexed(*chunks: bytes) -> bytes:
        return SIGNATURE + header + b"".join(chunks) + png_chunk(b"IDAT", zlib.compress(b"\0\0\1\2\1")) + END

    opaque, clear = "4x1 RGRG", "4x1 .G.G"
    return {
        "palette": OddImage(indexed(palette), opaque),
        "palette, wrong checksum": OddImage(indexed(_damaged(b"PLTE", colors)), None),
        "palette missing": OddImage(indexed(), None),
        "palette empty": OddImage(indexed(png_chunk(b"PLTE", b"")), None),
        "palette of 8 bytes": OddImage(indexed(png_chunk(b"PLTE", colors[:8])), opaque),
        "palette of 300 colours": OddImage(indexed(png_chunk(b"PLTE", colors + bytes(3 * 297))), None),
        "two palettes": OddImage(indexed(palette, palette), None),
        "alpha": OddImage(indexed(palette, alpha), clear),
        "alpha, too long": OddImage(indexed(palette, png_chunk(b"tRNS", b"\0\x80\xff\0")), clear),
        "alpha, wrong checksum": OddImage(indexed(palette, _damaged(b"tRNS", b"\0\x80")), opaque),
        "alpha before the palette": OddImage(indexed(alpha, palette), opaque),
        "alpha, empty": OddImage(indexed(palette, png_chunk(b"tRNS", b"")), opaque),
    }


def animations() -> dict[str, OddImage]:
    """APNGs of one frame, all red, most of them with another default image."""
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array(COLORS["R"], np.uint8)
    control = png_chunk(b"acTL", struct.pack(">II", 1, 0))

    def frame_control(width: int = WIDTH, height: int = HEIGHT, x: int = 0, y: int = 0) -> bytes:
        return struct.pack(">IIIIIHHBB", 0, width, height, x, y, 1, 10, 0, 0)

    whole = png_chunk(b"fcTL", frame_control())
    frame = png_chunk(b"fdAT", struct.pack(">I", 1) + _deflated(red))
    small = png_chunk(b"fdAT", struct.pack(">I", 1) + _deflated(red[:4, :8]))
    halves = [
        png_chunk(b"fdAT", struct.pack(">I", number + 1) + part)
        for number, part in enumerate((_deflated(red)[:9], _deflated(red)[9:]))
    ]
    return {
        "default image is the frame": OddImage(_png(control, whole), STORED),
        "default image is no frame": OddImage(_png(control, after=whole + frame), "16x8 RRRR"),
        "frame in two parts": OddImage(_png(control, after=whole + b"".join(halves)), "16x8 RRRR"),
        "frame smaller than the image": OddImage(
            _png(control, after=png_chunk(b"fcTL", frame_control(8, 4, 0, 4)) + small), "16x8 ..R."
        ),
        "frame outside the image": OddImage(
            _png(control, after=png_chunk(b"fcTL", frame_control(8, 4, 9, 4)) + small), None
        ),
        "frame control, wrong checksum": OddImage(
            _png(control, after=_damaged(b"fcTL", frame_control()) + frame), None
        ),
        "animation control, wrong checksum": OddImage(
            _png(_damaged(b"acTL", struct.pack(">II", 1, 0)), after=whole + frame), STORED
        ),
        "animation control behind the pixels": OddImage(_png(after=control + whole + frame), STORED),
        "animation of no frames": OddImage(
            _png(png_chunk(b"acTL", struct.pack(">II", 0, 0)), after=whole + frame), STORED
        ),
    }


def two_frames() -> bytes:
    """An APNG of two frames, red and blue, neither of which is the default image."""
    file = _png(png_chunk(b"acTL", struct.pack(">II", 2, 0)))[: -len(END)]
    for number, name in ((0, "R"), (2, "B")):
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + np.array(COLORS[name], np.uint8)
        file += png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))
        file += png_chunk(b"fdAT", struct.pack(">I", number + 1) + _deflated(pixels))
    return file + END


@functools.cache
def odd_images() -> dict[str, OddImage]:
    rgba = saved(Image.fromarray(quarters()).convert("RGBA"))
    return {
        **orientations(),
        **exif_oddities(),
        **damaged_pngs(),
        **palettes(),
        **animations(),
        "RGBA with a colour key": OddImage(
            rgba[:33] + png_chunk(b"tRNS", struct.pack(">HHH", *COLORS["R"])) + rgba[33:], STORED
        ),
    }
