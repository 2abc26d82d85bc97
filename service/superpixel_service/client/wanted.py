"""The parameters of a segmentation, as keywords of the clients."""

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

from superpixel_service.client.guidance import Guidance, GuidanceOf
from superpixel_service.client.map_sources import MapSource
from superpixel_service.client.mask import MaskOf


class Wanted(TypedDict, total=False):
    """The parameters of a segmentation: the keywords of `segment` and `segment_many`.

    Attributes:
        counts: one or more numbers of superpixels, each from 1 to the number of pixels, in any order. Without
            counts and areas the answer is the whole base map, which requires `include_hierarchy`.
        areas: one or more average superpixel sizes, in pixels, above 0.
        compactness: weight of shape against colour. Default: the server's.
        include_hierarchy: include the merge tree, from the finest map to a single region, so that any smaller
            count can be cut without another call. Default True.
        include_regions: include area, centroid, box, mean colour and neighbours of every region of the finest
            map. Default False.
        region_of_interest: x, y, width and height, in pixels of the upright image: segment only this part.
        apply_exif_orientation: apply the orientation of image files, so that the map fits the picture as a
            browser shows it. Default True. Pillow images and arrays are segmented as they are.
        first_frame_only: segment the first frame of an animation; otherwise animations are rejected. Default
            False.
        priority: "interactive" (default of `segment`) or "bulk" (default of `segment_many`). Bulk work yields
            to interactive work.
        guidance: maps that the superpixels follow beside the colours. `segment_many` also takes a function
            that returns the guidance of each image, by the image's key.
        mask: the pixels that belong to superpixels: a bool array, (height, width), true inside; or a path or
            the bytes of a PNG file, a Pillow image of mode 1 or L, or a uint8 array, not 0 inside. Of the
            size of the upright image, also with a region of interest. `segment_many` also takes a function
            that returns the mask of each image, by the image's key. Default: all pixels.
        required_algorithm_version: the algorithm version that the answer must have. Default: any.
        sample_range: two values of 16-bit samples, the one that becomes 0 and the one that becomes 255.
            Default: the robust range of the image, without the darkest and brightest thousandth.
    """

    counts: int | Iterable[int]
    areas: float | Iterable[float]
    compactness: float
    include_hierarchy: bool
    include_regions: bool
    region_of_interest: Sequence[int]
    apply_exif_orientation: bool
    first_frame_only: bool
    priority: Literal["interactive", "bulk"]
    guidance: Guidance | GuidanceOf | None
    mask: MapSource | MaskOf | None
    required_algorithm_version: int | None
    sample_range: Sequence[int] | None
