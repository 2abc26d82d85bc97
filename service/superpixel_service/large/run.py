"""Makes a store from a source. A run that was stopped or killed continues where it was.

The steps: pixels become 8-bit RGB in the store, tile by tile; the engine segments that image, tile by tile;
the base regions, the merge tree, the pyramids and the label images are written. The store's attributes say
last that it is complete.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import superpixel_kernels as kernels
from superpixel_kernels.codec import NO_REGION
from superpixel_kernels.tiled import TilePlan, TileWorkers
from superpixel_service.large import engine, writer
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.hashing import hash_source, version_of
from superpixel_service.large.layout import (
    ATTRIBUTES,
    BASE,
    IMAGE,
    STORE_VERSION,
    StoreInfo,
    canonical,
    json_number,
    level_scales,
    read_info,
)
from superpixel_service.large.ngff import Pixel
from superpixel_service.large.rgb import Reading, RgbSource, make_reading
from superpixel_service.large.source import PixelSource, slices
from superpixel_service.large.store import Store
from superpixel_service.large.stored_mask import StoredMask
from superpixel_service.large.tree import Tree, make_tree
from superpixel_service.large.zarr_store import failures_of, open_group
from superpixel_service.sample_ranges import Range, RangeRule

WORK = ".work"
"""The folder of a run inside its store; it is deleted when the store is complete."""

_VALID = "valid"

Progress = Callable[[str, int, int], None]
"""Called with a step, and how many of how many pixels of it are done.

The steps, in order: range, pixels, segment, regions, pyramid, labels.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make a store from.

    Attributes:
        source: the opened source; `address`, `level` and `frame` say how it was opened.
        bands: from 1, one or three; empty: the default of `make_reading`.
        rules: the rules of the ranges; empty: the default.
        nodata: instead of the file's; None: the file's.
        mask: an opened mask; None: none. `mask_address` is its address.
        compactness: of the superpixels.
        counts: the counts that get label images.
        tile: side of the engine's tiles, in pixels.
        backend: what computes the tiles, "cpu" or "cuda"; `device` is the index of the GPU.
        guidance: what the engine follows besides the colours.
    """

    source: PixelSource
    address: str
    level: int = 0
    frame: int = 0
    bands: Sequence[int] = ()
    rules: Sequence[RangeRule] = ()
    nodata: float | None = None
    mask: PixelSource | None = None
    mask_address: str = ""
    compactness: float = kernels.DEFAULT_COMPACTNESS
    counts: Sequence[int] = ()
    tile: int = 2048
    threads: int = 0
    backend: kernels.Backend = "cpu"
    device: int = 0
    guidance: engine.GuidanceFiles = field(default_factory=engine.GuidanceFiles)

    def record(self) -> dict[str, Any]:
        """What a run that continues must have equal."""
        frame = [self.frame] if self.frame else []  # runs without a frame have the record of earlier versions
        return {
            "version": STORE_VERSION,
            "algorithm_version": kernels.ALGORITHM_VERSION,
            "source": [self.address, version_of(self.address), self.level, *frame],
            "mask": [self.mask_address, version_of(self.mask_address)] if self.mask_address else None,
            "bands": list(self.bands),
            "rules": [repr(rule) for rule in self.rules],
            "nodata": json_number(self.nodata),
            "compactness": self.compactness,
            "tile": self.tile,
            "guidance": self.guidance.record(),
        }


def make_store(
    plan: Plan,
    address: str,
    *,
    work: Path | None = None,
    workers: TileWorkers | None = None,
    progress: Progress = lambda _step, _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> StoreInfo:
    """Make a store, or finish one.

    Args:
        plan: what to make it from.
        address: the store: a folder, or with `work` also a URL that fsspec knows.
        work: a local folder for the state of the run; None: in the store.
        workers: computes the engine's tiles; None: the threads of the plan.
        progress: see `Progress`.
        stopped: whether to stop; the same call continues later.

    Raises:
        LargeFailed: the store has other parameters, or something cannot be read or written.
        superpixel_kernels.errors.Cancelled: `stopped` was true.
    """
    if work is None:
        if "://" in address:
            raise LargeFailed("a store in a bucket needs --work DIR, a local folder", usage=True)
        work = Path(address, WORK)
    return _Run(plan, address, work, workers, progress, stopped).run()


class _Run:
    def __init__(
        self,
        plan: Plan,
        address: str,
        work: Path,
        workers: TileWorkers | None,
        progress: Progress,
        stopped: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._address = address
        self._work = work
        self._workers = workers
        self._report = progress
        self._stopped = stopped
        rows, columns, _ = plan.source.shape
        self._width, self._height = columns, rows
        scales = level_scales(columns, rows)
        self._scales = scales
        self._sizes = [(-(-columns // scale), -(-rows // scale)) for scale in scales]
        self._step, self._done, self._total = "", 0, 1

    def run(self) -> StoreInfo:
        record = self._plan.record()
        group = open_group(self._address, writable=True)
        with failures_of(self._address):
            self._check_guidance()
            params = kernels.SegmentParams(self._plan.compactness)
            TilePlan(params, self._height, self._width, 3, self._plan.tile)  # checks the tile
            complete = self._begin(group, record)
            if complete is not None:
                return self._add_labels(group, complete, record)
            with contextlib.suppress(KeyError):
                del group.attrs["ome"]
            state = self._state()
            reading = self._reading(state)
            self._write_pixels(group, reading)
            mask = StoredMask(self._work / _VALID, self._width, self._height)
            result = self._segment(group, state, mask)
            info = self._info(reading, result, state)
            tree = self._write_regions(group, result)
            self._begin_step("pyramid", sum(2 * w * h for w, h in self._sizes[1:]))
            writer.write_pyramids(group, self._sizes, self._advance)
            writer.write_image_attributes(
                group, _name_of(self._plan.address), self._sizes, _pixel_of(self._plan.source)
            )
            self._write_labels(group, tree, info.counts)
            if version_of(self._plan.address) != record["source"][1]:
                raise LargeFailed(f"{self._plan.address}: has changed while it was read")
            self._finish(group, info, record)
            shutil.rmtree(self._work, ignore_errors=True)
            return info

    def _check_guidance(self) -> None:
        guidance = self._plan.guidance
        engine.check_guidance(guidance)
        if self._plan.mask is not None and guidance.prior and not guidance.is_hard:
            raise LargeFailed("mask: cannot be combined with a soft prior; use --prior-mode hard", usage=True)

    def _add_labels(self, group: Any, info: StoreInfo, record: dict[str, Any]) -> StoreInfo:
        """Add label images to a store that is complete."""
        self._check_counts(info.base_count)
        missing = tuple(sorted(set(self._plan.counts) - set(info.counts), reverse=True))
        if not missing:
            return info
        self._write_labels(group, Store(self._address).tree, missing)
        info = replace(info, counts=tuple(sorted({*info.counts, *missing}, reverse=True)))
        self._finish(group, info, record)
        return info

    def _write_labels(self, group: Any, tree: Tree, counts: Sequence[int]) -> None:
        self._begin_step("labels", len(counts) * sum(width * height for width, height in self._sizes))
        pixel = _pixel_of(self._plan.source)
        for count in counts:
            self._check_stopped()
            writer.write_count(group, tree, count, self._sizes, pixel, self._advance)

    def _finish(self, group: Any, info: StoreInfo, record: dict[str, Any]) -> None:
        writer.write_label_list(group)
        group.attrs[ATTRIBUTES] = {**info.attributes(), "record": canonical(record)}

    def _check_counts(self, base_count: int) -> None:
        wrong = [count for count in self._plan.counts if count > base_count]
        if wrong:
            raise LargeFailed(
                f"counts: must be at most the base count, {base_count}; got {min(wrong)}", usage=True
            )

    def _begin(self, group: Any, record: dict[str, Any]) -> StoreInfo | None:
        """Claim the store; its description if it is complete already."""
        found = dict(group.attrs).get(ATTRIBUTES)
        text = canonical(record)
        if found is None:
            if any(True for _ in group):
                raise LargeFailed(f"{self._address}: is another Zarr group, not a store of superpixels")
        elif not isinstance(found, dict) or found.get("version") != STORE_VERSION:
            version = found.get("version") if isinstance(found, dict) else "unknown"
            raise LargeFailed(
                f"{self._address}: is a store of version {version}; only {STORE_VERSION} is known here"
            )
        elif found.get("complete") is True and found.get("record") == text:
            return read_info(self._address, dict(group.attrs))
        elif found.get("record") != text and (found.get("complete") or self._done_file.exists()):
            raise LargeFailed(
                f"{self._address}: has been begun with {_differences(found.get('record'), record)}; "
                "give another --out, or delete it"
            )
        if found is None or found.get("record") != text:
            # A run that wrote no pixels yet, such as one with a wrong argument, claims nothing.
            shutil.rmtree(self._work, ignore_errors=True)
            group.attrs[ATTRIBUTES] = {"version": STORE_VERSION, "complete": False, "record": text}
        self._work.mkdir(parents=True, exist_ok=True)
        return None

    @property
    def _done_file(self) -> Path:
        """Names the shards whose pixels are written."""
        return self._work / "pixels-done"

    # ---- the steps

    def _reading(self, state: dict[str, Any]) -> Reading:
        plan = self._plan
        if "reading" in state:
            return _reading_from(state["reading"])
        self._begin_step("range", self._width * self._height)
        reading = make_reading(
            plan.source,
            bands=plan.bands,
            rules=plan.rules,
            nodata=plan.nodata,
            mask=plan.mask,
            progress=self._advance,
        )
        state["sha256"] = hash_source(plan.address)
        state["reading"] = _reading_as_json(reading)
        self._keep(state)
        return reading

    def _write_pixels(self, group: Any, reading: Reading) -> None:
        rgb = RgbSource(self._plan.source, reading, self._plan.mask)
        image = writer.create_image(group, f"{IMAGE}/0", self._width, self._height)
        done = set(self._done_file.read_text().split()) if self._done_file.exists() else set()
        self._begin_step("pixels", self._width * self._height)
        mask = StoredMask(self._work / _VALID, self._width, self._height)
        for window in writer.shards(self._width, self._height):
            name = f"{window.y}-{window.x}"
            if name not in done:
                self._check_stopped()
                pixels, valid = rgb.read_valid(window)
                image[(slice(None), *slices(window))] = pixels.transpose(2, 0, 1)
                if valid is not None:
                    mask.put(window, valid)
                with self._done_file.open("a") as file:
                    file.write(f"{name}\n")
            self._advance(window.width * window.height)

    def _segment(self, group: Any, state: dict[str, Any], mask: StoredMask) -> engine.Result:
        self._begin_step("segment", self._width * self._height)
        plan = self._plan
        return engine.segment_image(
            group[f"{IMAGE}/0"],
            mask if mask.exists else None,
            address=self._address,
            fingerprint=f"{state['sha256']} {canonical(state['reading'])}",
            compactness=plan.compactness,
            tile=plan.tile,
            work=self._work / "engine",
            threads=plan.threads,
            backend=plan.backend,
            device=plan.device,
            workers=self._workers,
            guidance=plan.guidance,
            progress=lambda done, total: self._report("segment", done, total),
            stopped=self._stopped,
        )

    def _write_regions(self, group: Any, result: engine.Result) -> Tree:
        self._begin_step("regions", self._width * self._height)
        base = writer.create_labels(group, f"{BASE}/0", self._width, self._height, NO_REGION)
        image = group[f"{IMAGE}/0"]
        measures = writer.Measures(result.base_count)
        for window in writer.shards(self._width, self._height):
            self._check_stopped()
            rows, columns = slices(window)
            ids = result.base(window).astype(np.uint32)  # -1 becomes NO_REGION
            base[rows, columns] = ids
            pixels = np.ascontiguousarray(np.asarray(image[:, rows, columns]).transpose(1, 2, 0))
            measures.add(ids, pixels, window)
            self._advance(window.width * window.height)
        measures.write(group)
        tree = make_tree(result.merges)
        writer.write_tree(group, tree)
        return tree

    def _info(self, reading: Reading, result: engine.Result, state: dict[str, Any]) -> StoreInfo:
        plan = self._plan
        self._check_counts(result.base_count)
        facts = plan.source.facts
        return StoreInfo(
            width=self._width,
            height=self._height,
            base_count=result.base_count,
            algorithm_version=kernels.ALGORITHM_VERSION,
            compactness=plan.compactness,
            scales=self._scales,
            counts=tuple(sorted(set(plan.counts), reverse=True)),
            bands=tuple(band + 1 for band in reading.bands),
            ranges=tuple((limits.low, limits.high) for limits in reading.ranges),
            source={
                "address": plan.address,
                "reader": facts.reader,
                "level": plan.level,
                **({"frame": plan.frame} if plan.frame else {}),
                "sha256": state["sha256"],
                "nodata": [json_number(value) for value in reading.nodata],
                "inverted": reading.inverted,
                "mask": plan.mask_address or None,
            },
            guidance=plan.guidance.record(),
            crs=facts.crs,
            transform=facts.transform,
        )

    # ---- the state of the run, and its progress

    def _state(self) -> dict[str, Any]:
        try:
            found = json.loads((self._work / "state.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, state: dict[str, Any]) -> None:
        part = self._work / "state.json.part"
        part.write_text(json.dumps(state))
        part.replace(self._work / "state.json")

    def _begin_step(self, step: str, total: int) -> None:
        self._step, self._done, self._total = step, 0, max(1, total)
        self._report(step, 0, self._total)

    def _advance(self, pixels: int) -> None:
        self._check_stopped()
        self._done += pixels
        self._report(self._step, min(self._done, self._total), self._total)

    def _check_stopped(self) -> None:
        if self._stopped():
            raise kernels.errors.Cancelled("stopped")


def _differences(found: object, wanted: dict[str, Any]) -> str:
    try:
        old = json.loads(str(found))
        names = [name for name, value in wanted.items() if old.get(name) != value]
    except (ValueError, AttributeError):
        names = []
    return f"another {' and '.join(names)}" if names else "other parameters"


def _reading_as_json(reading: Reading) -> dict[str, Any]:
    return {
        "bands": list(reading.bands),
        "ranges": [[limits.low, limits.high] for limits in reading.ranges],
        "nodata": [json_number(value) for value in reading.nodata],
        "inverted": reading.inverted,
    }


def _reading_from(found: dict[str, Any]) -> Reading:
    return Reading(
        bands=tuple(found["bands"]),
        ranges=tuple(Range(low, high) for low, high in found["ranges"]),
        nodata=tuple(None if value is None else float(value) for value in found["nodata"]),
        inverted=bool(found["inverted"]),
    )


def _pixel_of(source: PixelSource) -> Pixel:
    size = source.facts.pixel_size
    return Pixel() if size is None else Pixel(size[0], size[1], "micrometer")


def _name_of(address: str) -> str:
    return address.rstrip("/").rsplit("/", 1)[-1]
