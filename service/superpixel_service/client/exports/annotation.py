"""What exports read: a class and an object per pixel."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import selection_json
from superpixel_service.client.classes import (
    FIRST_OBJECT,
    MAX_CLASSES,
    Class,
    Instance,
    check_lists,
    class_table,
)
from superpixel_service.client.segmentation import Segmentation


class HasCut(Protocol):
    """Cuts an image into any number of superpixels, as `superpixel_kernels.Hierarchy` does."""

    def cut(self, count: int, /) -> NDArray[np.int32]:
        """Return the label map with `count` superpixels: (height, width) int32, 0..count-1."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A class per pixel, and an object per pixel.

    Attributes:
        mask: (height, width) uint8: 0 for no class, else 1 + the index of the class in `classes`.
        classes: at most `MAX_CLASSES`.
        instances: (height, width) uint16: 0 for no object, else 1 + the index in `objects`; None: no objects.
        objects: at most `MAX_OBJECTS`. An object may have no pixels.

    Raises:
        InvalidParameter: the mask or the instances have another shape or type, `classes` does not cover the
            mask, `objects` does not cover the instances, or a pixel has another class than its object.
    """

    mask: NDArray[np.uint8]
    classes: tuple[Class, ...]
    instances: NDArray[np.uint16] | None = None
    objects: tuple[Instance, ...] = ()

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.uint8 or self.mask.size == 0:
            raise InvalidParameter(
                "mask", f"must be (height, width) uint8, got {self.mask.shape} {self.mask.dtype}"
            )
        if len(self.classes) > MAX_CLASSES or self.mask.max() > len(self.classes):
            raise InvalidParameter(
                "classes", f"{len(self.classes)} do not cover the mask, or are over {MAX_CLASSES}"
            )

        check_lists(self.classes, self.objects)
        instances = self.instances
        if instances is None:
            return
        if instances.shape != self.mask.shape or instances.dtype != np.uint16:
            raise InvalidParameter(
                "instances",
                f"must be {self.mask.shape} uint16, got {instances.shape} {instances.dtype}",
            )
        if instances.max() > len(self.objects):
            raise InvalidParameter("objects", f"{len(self.objects)} do not cover the instances")
        classes = np.array([0, *(one.class_value for one in self.objects)], np.uint8)[instances]
        if ((classes != self.mask) & (instances > 0)).any():
            raise InvalidParameter("instances", "a pixel has another class than its object")

    @classmethod
    def of_regions(
        cls,
        source: HasCut | codec.LabelMap | Segmentation,
        count: int,
        chosen: Mapping[Class, Iterable[int]],
    ) -> Self:
        """Make an annotation from regions of one level.

        Args:
            source: contains the level: a `superpixel_kernels.Hierarchy`, a label map, or a server's answer.
            count: number of superpixels of the level.
            chosen: regions of each class, 0 to count - 1. Class values follow its order.

        Raises:
            InvalidParameter: the source does not contain the level, the level does not have a region, or a
                region has two classes.
        """
        if isinstance(source, codec.LabelMap | Segmentation):
            labels = source.labels_at(count)
        else:
            labels = source.cut(count)
        value_of = np.zeros(count, np.uint8)
        for value, (one, regions) in enumerate(chosen.items(), 1):
            for region in regions:
                if not 0 <= region < count:
                    raise InvalidParameter(
                        "chosen", f"{one.name}: region {region}, must be from 0 to {count - 1}"
                    )
                if value_of[region] not in (0, value):
                    raise InvalidParameter("chosen", f"{one.name}: region {region} has another class, too")
                value_of[region] = value
        return cls(codec.with_outside(value_of, 0)[labels], tuple(chosen))

    @classmethod
    def of_selection(cls, label_map: codec.LabelMap, data: Mapping[str, Any]) -> Self:
        """Make an annotation from a selection of the npm package.

        Args:
            label_map: the map that the selection was made on.
            data: the parsed JSON of `Selection.toJSON` (docs/selection.md).

        Raises:
            InvalidParameter: the selection is damaged, or was made on another map. The message names the part
                and what would be valid.
        """
        stored = selection_json.read(label_map, data)
        return cls.of_values(stored.values(label_map), stored.classes, stored.objects)

    @classmethod
    def of_values(
        cls, values: NDArray[np.uint16], classes: tuple[Class, ...], objects: tuple[Instance, ...]
    ) -> Self:
        """Make an annotation from the values of a selection's pixels.

        Args:
            values: (height, width) uint16: 0 for no class, 1 to 254 for a class, 256 and more for an object.
            classes: the classes.
            objects: the objects.
        """
        instances = None
        if objects:
            instances = np.where(values < FIRST_OBJECT, 0, values - (FIRST_OBJECT - 1)).astype(np.uint16)
        return cls(class_table(objects)[values], classes, instances, objects)
