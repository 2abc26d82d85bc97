"""Mask files as networks and tools write them, and how a user drops one."""

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.page.annotator import Annotator

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6

DROP = """([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  document.querySelector('#stage').dispatchEvent(new DragEvent('dragover', options));
  document.querySelector('#stage').dispatchEvent(new DragEvent('drop', options));
}"""


def drop(annotator: Annotator, name: str, data: bytes) -> None:
    kind = "application/json" if name.endswith(".json") else f"image/{name.rsplit('.')[-1]}"
    annotator.page.evaluate(DROP, [base64.b64encode(data).decode(), name, kind])


def png(values: NDArray[Any], **options: Any) -> bytes:
    """As Pillow writes it."""
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG", **options)
    return out.getvalue()


def indexed(values: NDArray[np.uint8], palette: list[int]) -> bytes:
    image = Image.fromarray(values).convert("L")
    image.putpalette([*palette, *[0] * (768 - len(palette))])  # Pillow cuts indexes beyond a short palette
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def any_png(samples: NDArray[np.integer], depth: int, kind: int, *, interlaced: bool, seed: int = 0) -> bytes:
    """A PNG file of (height, width, channels) samples, with a random filter in each row."""
    rng = np.random.default_rng(seed)
    height, width, channels = samples.shape
    raw = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = samples[y0::dy, x0::dx]
        if part.size:
            raw += b"".join(_filtered(part, depth, channels, rng))
    parts = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced))]
    if kind == PALETTE:
        parts.append(_chunk(b"PLTE", bytes(range(3 * 2**depth % 256)) or bytes(range(255)) * 3 + bytes(3)))
    data = zlib.compress(raw)
    parts += [_chunk(b"IDAT", data[: len(data) // 2]), _chunk(b"IDAT", data[len(data) // 2 :])]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, _chunk(b"IEND", b"")])


def _filtered(part: NDArray[np.integer], depth: int, channels: int, rng: np.random.Generator) -> list[bytes]:
    back = max(1, depth * channels // 8)
    rows, above = [], None
    for row in part.reshape(len(part), -1):
        bits = (row[:, np.newaxis] >> np.arange(depth - 1, -1, -1)) & 1
        line = np.packbits(bits.astype(np.uint8).ravel()).astype(np.int64)
        above = np.zeros_like(line) if above is None else above
        left = np.concatenate([np.zeros(back, np.int64), line])[: len(line)]
        corner = np.concatenate([np.zeros(back, np.int64), above])[: len(line)]
        guess = left + above - corner
        far = [np.abs(guess - one) for one in (left, above, corner)]
        paeth = np.where(
            (far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner)
        )
        chosen = int(rng.integers(0, 5))
        guesses = [0 * line, left, above, (left + above) // 2, paeth]
        rows.append(bytes([chosen]) + ((line - guesses[chosen]) % 256).astype(np.uint8).tobytes())
        above = line
    return rows


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def nearest(mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Scale by nearest neighbour, as docs/algorithm.md says."""
    rows, columns = (
        ((2 * np.arange(size) + 1) * own) // (2 * size) for size, own in zip(shape, mask.shape, strict=True)
    )
    return mask[rows][:, columns]
