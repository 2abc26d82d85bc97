// Contrast across pixel sides.
#pragma once

#include "device.cuh"
#include "superpixel/graph.h"

namespace superpixel {

SUPERPIXEL_DEVICE u32 contrast_between(const u32* lab, i64 p, i64 q) {
    const u32 a = lab[p];
    const u32 b = lab[q];
    return static_cast<u32>(contrast(lab_L(a) - lab_L(b), lab_A(a) - lab_A(b), lab_B(a) - lab_B(b)));
}
// Contrast across the side between a pixel and the next one in its row.
SUPERPIXEL_DEVICE u32 contrast_right(const u32* lab, i32 x, i32 y, i32 width) {
    const i64 row = static_cast<i64>(y) * width;
    return contrast_between(lab, row + max(x - 1, 0), row + min(x + 2, width - 1));
}
// The same in its column.
SUPERPIXEL_DEVICE u32 contrast_down(const u32* lab, i32 x, i32 y, i32 width, i32 height) {
    return contrast_between(lab, static_cast<i64>(max(y - 1, 0)) * width + x,
                            static_cast<i64>(min(y + 2, height - 1)) * width + x);
}

// Calls body(beside, other, contrast) for the side to the right of a pixel and the side below it, if they lie
// between two regions. `beside`: the index of the pixel there; `other`: its region.
template <class F>
SUPERPIXEL_DEVICE void each_border(const u32* lab, const i32* labels, const TilePixel& at, i32 width,
                                   i32 height, F&& body) {
    const i32 label = labels[at.index];
    if (at.x + 1 < width) {
        const i32 right = labels[at.index + 1];
        if (right != label) body(at.index + 1, right, contrast_right(lab, at.x, at.y, width));
    }
    if (at.y + 1 < height) {
        const i32 below = labels[at.index + width];
        if (below != label) body(at.index + width, below, contrast_down(lab, at.x, at.y, width, height));
    }
}

}  // namespace superpixel
