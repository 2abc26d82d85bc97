"""The results of a client: the superpixels of one image, and a server's information."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import layout
from superpixel_service.contract import StageSeconds


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice about how the image was read.

    Attributes:
        code: the contract's name of the notice, such as "GRAY16_SCALED".
        message: the text for people, in English.
    """

    code: str
    message: str


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The superpixels of one image.

    `spx` is decoded at the first use of `label_map`, `labels`, `labels_at`, `cut`, `tree`, `heights` or
    `regions`, so a caller that only stores the bytes does not pay for decoding. Each of these raises
    `superpixel_kernels.errors.InvalidLabelMap` if the bytes are damaged.

    Attributes:
        spx: the label map with its levels or its tree, in the SPXL container (docs/label-map.md).
        width, height: size of the maps, in pixels.
        count: superpixels of the finest map.
        counts: superpixels of each requested level, distinct and decreasing; the first is `count`.
        base_count: regions of the base partition: the largest count without refinement.
        notices: notices about how the image was read.
        timings: seconds that the server spent in each stage.
        backend: the engine that made the map, "cpu" or "cuda"; the map does not depend on it.
        algorithm_version: changes whenever a map may change for the same pixels and parameters.
        request_id: the call's id in the server's log.
        provenance: what the map was made from: compactness, region, SHA-256 of the image, guidance. `spx`
            contains it too. None: an older server.
        prior_components: with a prior map in mode "hard", the number of its 4-connected components in the
            region: at this count the superpixels are these components. With a mask, the number of those
            inside. Otherwise None.
        mask_pixels: with a mask, the number of pixels inside. Otherwise None.
        sample_range: the values of 16-bit samples that became 0 and 255; None: the image has none.
    """

    spx: bytes
    width: int
    height: int
    count: int
    counts: tuple[int, ...]
    base_count: int
    notices: tuple[Notice, ...]
    timings: StageSeconds
    backend: str
    algorithm_version: int
    request_id: str
    provenance: codec.Provenance | None = None
    prior_components: int | None = None
    sample_range: tuple[int, int] | None = None
    mask_pixels: int | None = None

    def __repr__(self) -> str:
        levels = ", ".join(map(str, self.counts))
        return f"<Segmentation {self.width}x{self.height}, counts {levels}, {len(self.spx)} bytes>"

    @cached_property
    def label_map(self) -> codec.LabelMap:
        """The decoded contents of `spx`."""
        # A wide flat map can exceed the default limit per byte, but no answer exceeds the largest image.
        size = max(self.width * self.height, 1)
        return codec.decode(self.spx, max_pixels=min(size, layout.MAX_PIXELS_READ))

    @property
    def labels(self) -> NDArray[np.int32]:
        """The finest map: (height, width) int32, 0..count-1, numbered by first appearance, row by row.

        Pixels outside the mask have `superpixel_kernels.OUTSIDE`, -1.
        """
        return self.label_map.labels

    def labels_at(self, count: int) -> NDArray[np.int32]:
        """The map of `count` superpixels: (height, width) int32, numbered like `labels`.

        Args:
            count: any number from 1 to `self.count` with the hierarchy; one of `counts` without it.

        Raises:
            superpixel_kernels.errors.InvalidParameter: the label map does not contain this level.
        """
        return self.label_map.labels_at(count)

    def cut(self, count: int) -> NDArray[np.int32]:
        """For each label of the finest map, its label in the map of `count`: (self.count,) int32.

        `labels_at(count)` is `cut(count)[labels]`. Argument and error as for `labels_at`.
        """
        return self.label_map.cut(count)

    @property
    def tree(self) -> codec.Tree | None:
        """The merges from the finest map down to one region; None without `include_hierarchy`."""
        return self.label_map.tree

    @property
    def heights(self) -> NDArray[np.float32] | None:
        """(count - 1,) float32: height of each merge, by rank; None without `include_hierarchy`."""
        return self.label_map.heights

    @property
    def regions(self) -> codec.Regions | None:
        """Area, box, centroid, mean colour and neighbours by label; None without `include_regions`."""
        return self.label_map.regions

    def regions_at(self, count: int, image: NDArray[np.uint8]) -> codec.Regions:
        """Measure the superpixels of the map of `count`, as `regions` has those of the finest map.

        Args:
            count: as for `labels_at`.
            image: (height, width, 3) uint8, sRGB: the image as sent, upright, and its region if one was sent.

        Raises:
            superpixel_kernels.errors.InvalidParameter: the label map does not contain this level.
            superpixel_kernels.errors.InvalidImage: the image has another size or type.
        """
        return codec.measure_regions(self.labels_at(count), image)

    def adjacency(self, count: int, image: ArrayLike | None = None) -> codec.Adjacency:
        """The neighbours in the map of `count`, with the length of their borders.

        Args:
            count: as for `labels_at`.
            image: (height, width) or (height, width, channels): for the contrast of the borders.

        Raises: as `regions_at`.
        """
        return codec.measure_adjacency(self.labels_at(count), image)

    def pool(self, count: int, values: ArrayLike, how: codec.How = "mean") -> NDArray[Any]:
        """Pool values per pixel over the superpixels of the map of `count`.

        Args:
            count: as for `labels_at`.
            values: (height, width) or (height, width, channels): a map of yours.
            how: "mean", "max", "sum", "mode" or "entropy"; see `superpixel_kernels.pool`.

        Raises:
            superpixel_kernels.errors.InvalidParameter: there is no such level, or the values do not fit.
        """
        return codec.pool(self.labels_at(count), values, how)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Version, engines, limits and defaults of a server.

    Attributes:
        version: as in `superpixel --version`.
        algorithm_version: as in `Segmentation`.
        backends: the device of each engine, by the engine's name; the first engine is in use.
        max_image_bytes: largest image, in bytes as sent.
        max_image_pixels: largest image, in pixels.
        max_refinement_pixels: largest region of interest, in pixels, for counts above the base count.
        max_targets: most counts and areas per request, together.
        compactness_range: smallest and largest compactness.
        compactness_default: compactness of requests that name none.
        label_encodings: formats of label maps that the server writes, such as "SPX".
        image_formats: formats of image files that the server decodes, such as "JPEG".
        guidance_version: the version of guidance; None: the server does not know guidance.
        prior_modes: modes of a prior map, such as "soft".
    """

    version: str
    algorithm_version: int
    backends: Mapping[str, str]
    max_image_bytes: int
    max_image_pixels: int
    max_refinement_pixels: int
    max_targets: int
    compactness_range: tuple[float, float]
    compactness_default: float
    label_encodings: tuple[str, ...]
    image_formats: tuple[str, ...]
    guidance_version: int | None = None
    prior_modes: tuple[str, ...] = ()
