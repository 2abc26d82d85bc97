"""Size and speed of the label map format SPXL (docs/label-map.md), compared with 16-bit PNG.

Label maps of a 1080p mosaic of photographs at three counts, in four encodings: SPXL alone and with the whole
hierarchy; PNG by Pillow at its default and at its fastest compression.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.data import add_data_arguments, mosaic
from benchmarks.metrics import Labels
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json
from benchmarks.timing import take_turns
from superpixel_kernels import Hierarchy, codec, segment

WIDTH, HEIGHT = 1920, 1080
LIMITS = {1_400: 3.0, 7_600: 3.0, 32_000: 5.0}
"""By count: the limit in milliseconds per megapixel for encoding, and for decoding."""
SIZE_LIMIT = 0.30
SPXL, SPXL_TREE, PNG, PNG_QUICK = "SPXL", "SPXL with hierarchy", "PNG", "PNG, level 1"


@dataclass(frozen=True, slots=True)
class Row:
    """One count in one encoding; size in bytes, times in milliseconds per megapixel."""

    count: int
    encoding: str
    size: int
    encode: float
    decode: float
    encode_cpu: float
    decode_cpu: float


@dataclass(frozen=True, slots=True)
class Encoding:
    """Functions that encode a label map, and decode it again."""

    encode: Callable[[], bytes]
    decode: Callable[[bytes], Labels]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("label_map", __doc__)
    add_data_arguments(parser)
    parser.add_argument("--rounds", type=int, default=25, help="rounds per count (default: %(default)s)")
    options = parser.parse_args(arguments)
    hierarchy = segment(mosaic(options.data, WIDTH, HEIGHT))
    rows = [row for count in LIMITS for row in measure(hierarchy, count, options.rounds)]
    goals = list_goals(rows)
    say_table(
        f"Label maps of a {WIDTH}x{HEIGHT} mosaic",
        ("labels", "encoding", "kB", "of PNG", "encode ms/MP", "in CPU time", "decode ms/MP", "in CPU time"),
        [
            (
                row.count,
                row.encoding,
                f"{row.size / 1e3:.1f}",
                f"{row.size / pick(rows, row.count, PNG).size:.3f}",
                *(f"{value:.2f}" for value in (row.encode, row.encode_cpu, row.decode, row.decode_cpu)),
            )
            for row in rows
        ],
    )
    say_goals(goals)
    write_json(options.json, {"label_map": [asdict(row) for row in rows]}, goals)


def measure(hierarchy: Hierarchy, count: int, rounds: int) -> list[Row]:
    """Verify all encodings of one cut, then time them in turn."""
    labels = hierarchy.cut(count)
    tree, heights = hierarchy.tree(count), hierarchy.heights(count)
    encodings = {
        SPXL: Encoding(partial(codec.encode, labels), _read_spxl),
        SPXL_TREE: Encoding(partial(codec.encode, labels, tree=tree, heights=heights), _read_spxl),
        PNG: Encoding(partial(_write_png, labels, level=6), _read_png),
        PNG_QUICK: Encoding(partial(_write_png, labels, level=1), _read_png),
    }
    written = {name: each.encode() for name, each in encodings.items()}
    for name, each in encodings.items():
        if not np.array_equal(each.decode(written[name]), labels):
            raise SystemExit(f"{name} does not reproduce the {count} labels")
    encode = take_turns({name: each.encode for name, each in encodings.items()}, rounds)
    decode = take_turns(
        {name: partial(each.decode, written[name]) for name, each in encodings.items()}, rounds
    )
    scale = 1e3 / (labels.size / 1e6)
    return [
        Row(
            count,
            name,
            len(written[name]),
            encode=encode[name].seconds * scale,
            decode=decode[name].seconds * scale,
            encode_cpu=encode[name].cpu_seconds * scale,
            decode_cpu=decode[name].cpu_seconds * scale,
        )
        for name in encodings
    ]


def list_goals(rows: Sequence[Row]) -> list[Goal]:
    """Return the goals for SPXL without hierarchy, at each count."""
    goals = []
    for count, limit in LIMITS.items():
        row = pick(rows, count, SPXL)
        png = pick(rows, count, PNG)
        goals += [
            Goal.at_most(f"SPXL encode, {count} labels", row.encode, limit, " ms/MP"),
            Goal.at_most(f"SPXL decode, {count} labels", row.decode, limit, " ms/MP"),
            Goal.at_most(f"SPXL bytes over PNG, {count} labels", row.size / png.size, SIZE_LIMIT),
        ]
    return goals


def pick(rows: Sequence[Row], count: int, encoding: str) -> Row:
    """Return the row with that count and encoding."""
    return next(row for row in rows if (row.count, row.encoding) == (count, encoding))


def _read_spxl(data: bytes) -> Labels:
    return codec.decode(data).labels


def _write_png(labels: Labels, level: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(out, "PNG", compress_level=level)
    return out.getvalue()


def _read_png(data: bytes) -> Labels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(np.int32)


if __name__ == "__main__":
    main()
