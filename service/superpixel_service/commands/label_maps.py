"""What commands send to and get from a segmenter: parameters, label maps, rejections."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from superpixel_service.commands.guidance_files import GuidanceFiles

if TYPE_CHECKING:  # it loads gRPC, which not every command needs
    from superpixel_service.client.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters for every image.

    Attributes:
        counts: numbers of superpixels; without counts and areas: the whole base.
        compactness: weight of shape against colour.
        hierarchy: include every smaller count, not `counts` and `areas` alone.
        areas: average sizes of superpixels, in pixels.
        region: x, y, width and height of the part to segment, in pixels; None: the whole image.
        orientation: apply the EXIF orientation.
        first_frame: segment the first frame of an animation instead of rejecting it.
        clamp: reduce counts above the number of pixels to it, instead of rejecting the image.
        guidance: maps that the superpixels follow; None: none.
        sample_range: the values of 16-bit samples that become 0 and 255; None: they follow from the image.
        mask: a file of the pixels that belong to superpixels; None: all.
    """

    counts: tuple[int, ...]
    compactness: float
    hierarchy: bool
    areas: tuple[float, ...] = ()
    region: tuple[int, int, int, int] | None = None
    orientation: bool = True
    first_frame: bool = False
    clamp: bool = False
    guidance: GuidanceFiles | None = None
    sample_range: tuple[int, int] | None = None
    mask: Path | None = None

    def wanted(
        self, image: Path | None = None, priority: Literal["interactive", "bulk"] | None = None
    ) -> "Wanted":
        """The keywords of the client's `segment`; with `priority` None, the method's own priority.

        With `image` None they are those of `segment_many`, for images whose keys are their paths.

        Raises:
            superpixel_service.client.InvalidRequest: there is no map of guidance for the image.
        """
        wanted: Wanted = {
            "counts": self.counts,
            "areas": self.areas,
            "compactness": self.compactness,
            "include_hierarchy": self.hierarchy,
            "apply_exif_orientation": self.orientation,
            "first_frame_only": self.first_frame,
        }
        if self.region is not None:
            wanted["region_of_interest"] = self.region
        if self.sample_range is not None:
            wanted["sample_range"] = self.sample_range
        if self.mask is not None:
            wanted["mask"] = self.mask
        if priority is not None:
            wanted["priority"] = priority
        if self.guidance is not None:
            wanted["guidance"] = self.guidance.of if image is None else self.guidance.of(image)
        return wanted

    def without_targets(self) -> "Parameters":
        """The same, for the whole base without guidance: every image has that many pixels."""
        return replace(self, counts=(), areas=(), hierarchy=True, guidance=None)

    def clamped(self, pixels: int) -> "Parameters":
        """The same, with no count above `pixels`."""
        return replace(self, counts=tuple(sorted({min(count, pixels) for count in self.counts})))


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result of one image.

    Attributes:
        spx: the label map, in the SPXL container.
        counts: numbers of superpixels of its levels, decreasing.
        base_count: number of regions of the base partition.
        notices: notices about how the image was read.
    """

    spx: bytes
    counts: tuple[int, ...]
    base_count: int
    notices: tuple[str, ...]


class ImageRejected(Exception):
    """This image has no label map; other images may have one. The text names the image."""


class ImageSegmenter(Protocol):
    """Segments image files."""

    def algorithm_version(self) -> int:
        """The engine's version. Equal images, parameters and versions give equal maps."""

    def guidance_version(self) -> int:
        """The version of guidance.

        Raises:
            CommandFailed: the segmenter does not know guidance.
        """

    def segment(self, image: Path) -> ImageResult:
        """Segment one image.

        Raises:
            ImageRejected: this image cannot be segmented.
            CommandFailed: no image can be segmented.
        """

    def segment_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, ImageResult | ImageRejected]]:
        """Segment many images. Results come as they finish. Only a few images are read ahead.

        Raises:
            CommandFailed: no further image can be segmented.
        """


_FLAGS = {
    "target_counts": "--counts: ",
    "target_areas": "--areas: ",
    "compactness": "--compactness: ",
    "region_of_interest": "--region: ",
    "sample_range": "--sample-range: ",
    "mask": "--mask: ",
    "guidance.edges": "--edges: ",
    "guidance.edge_weight": "--edge-weight: ",
    "guidance.prior": "--prior: ",
    "guidance.prior.label_map.count": "--prior-count: ",
    "guidance.prior_weight": "--prior-weight: ",
    "guidance.importance": "--importance: ",
}


def rejection(image: Path, field: str, text: str) -> ImageRejected:
    """The rejection of an image because of the request's field `field`, named as the command's flag."""
    name = field.split("[")[0]
    parts = name.split(".")
    flag = _FLAGS.get(name) or _FLAGS.get(".".join(parts[:2])) or _FLAGS.get(parts[0], "")
    # The server names the fields of its contract; a command's user has flags.
    text = text.replace("set first_frame_only to use", "--first-frame segments")
    return ImageRejected(f"{image}: {flag}{text}")
