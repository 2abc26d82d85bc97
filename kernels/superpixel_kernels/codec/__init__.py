"""The label map container SPXL: a label map and its coarser levels in few bytes, for browsers.

```
data = encode(labels, tree=Tree(into, order))     # bytes, the same for the same arguments
label_map = decode(data)                          # raises InvalidLabelMap on anything malformed
label_map.labels                                  # (height, width) int32
label_map.labels_at(100)                          # the level with 100 regions
```

docs/label-map.md specifies the format. `reference.py` is a second, short decoder, for documentation.
"""

from superpixel_kernels.codec.adjacency import measure_adjacency
from superpixel_kernels.codec.global_ids import NO_REGION, GlobalIds
from superpixel_kernels.codec.label_colors import labels_to_rgb, rgb_to_labels
from superpixel_kernels.codec.label_map import OUTSIDE, LabelMap, Levels, Tree, with_outside
from superpixel_kernels.codec.layout import MAX_PIXELS
from superpixel_kernels.codec.masks import InvalidMask, paint_masks
from superpixel_kernels.codec.measured import Adjacency, Regions
from superpixel_kernels.codec.pooling import How, pool
from superpixel_kernels.codec.provenance import GuidanceRecord, Provenance
from superpixel_kernels.codec.reader import decode
from superpixel_kernels.codec.regions import measure_regions
from superpixel_kernels.codec.snap import snap_mask
from superpixel_kernels.codec.writer import encode, varints
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter

__all__ = [
    "MAX_PIXELS",
    "NO_REGION",
    "OUTSIDE",
    "Adjacency",
    "GlobalIds",
    "GuidanceRecord",
    "How",
    "InvalidLabelMap",
    "InvalidMask",
    "InvalidParameter",
    "LabelMap",
    "Levels",
    "Provenance",
    "Regions",
    "Tree",
    "decode",
    "encode",
    "labels_to_rgb",
    "measure_adjacency",
    "measure_regions",
    "paint_masks",
    "pool",
    "rgb_to_labels",
    "snap_mask",
    "varints",
    "with_outside",
]
