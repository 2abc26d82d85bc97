"""The merges between the regions of a window, as a label map holds them."""

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec, tree_of_merges
from superpixel_kernels.codec import NO_REGION
from superpixel_service.large.tree import Ids, Tree


def window_tree(tree: Tree, ids: Ids) -> tuple[codec.Tree, NDArray[np.float32]]:
    """The merges of the whole image that join regions of a window.

    Args:
        tree: of the whole image.
        ids: (n,) the global ids of the labels 0 to n - 1; none of them contains another. `NO_REGION` is
            joined last, at the height of the last merge.

    Returns:
        The tree of the labels, and the (n - 1,) heights of its merges.
    """
    inside = np.flatnonzero(ids != NO_REGION)
    if not inside.size:
        return codec.Tree(np.empty(0, np.int32), np.empty(0, np.int32)), np.empty(0, np.float32)
    first, second, made = tree.merges_between(ids[inside])
    a, b = inside[first], inside[second]
    heights = tree.heights[made - tree.base_count]
    if len(inside) < len(ids):
        a = np.append(a, inside[0])
        b = np.append(b, np.flatnonzero(ids == NO_REGION))
        heights = np.append(heights, heights[-1] if len(heights) else np.float32(0))
    return tree_of_merges(a, b), heights.astype(np.float32)
