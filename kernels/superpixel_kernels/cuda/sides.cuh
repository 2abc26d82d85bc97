// The sides between pixels of two regions, and the contrast across them.
#pragma once

#include "edge_table.cuh"
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

constexpr i32 kSideTileHeight = 8;

// Adds the sides between two regions to the table: those to the right of and below the pixels of a tile of
// kSideTileHeight rows. Adjacent sides between the same two regions are added as one.
// more(pixel, beside, region, other): what is added to the contrast across a side. Sum: holds the contrast of
// 32 sides. All threads of the block must call it, one per pixel of the tile.
template <class Sum, class More>
SUPERPIXEL_DEVICE void add_sides(Edges table, u32 mask, const u32* lab, const i32* labels, i32 width,
                                 i32 height, More&& more) {
    // first: whether a line of pixels begins with this lane's.
    const auto add = [&](const TilePixel& at, bool first, bool exists, i64 beside, auto&& contrast) {
        u64 key = kNoKey;
        Sum sum = 0;
        if (exists) {
            const i32 region = labels[at.index];
            const i32 other = labels[beside];
            if (region != other) {
                key = edge_key(min(region, other), max(region, other));
                sum = static_cast<Sum>(contrast()) + static_cast<Sum>(more(at.index, beside, region, other));
            }
        }
        const u64 before = __shfl_up_sync(kFullWarp, key, 1);
        const Run run = run_from(first || before != key);
        sum = run_sum(run, sum);
        if (run.ends && key != kNoKey) {
            add_edge(table, mask, key, static_cast<u32>(lane() - run.start + 1), sum);
        }
    };
    const TilePixel row = tile_pixel(width, height, kSideTileHeight);
    add(row, lane() == 0, row.inside && row.y + 1 < height, row.index + width,
        [&] { return contrast_down(lab, row.x, row.y, width, height); });
    // For the sides to the right, a warp takes whole columns of the tile.
    const i32 rank = static_cast<i32>(threadIdx.x);
    const TilePixel column =
        tile_pixel(width, height, kSideTileHeight, rank / kSideTileHeight, rank % kSideTileHeight);
    add(column, lane() % kSideTileHeight == 0, column.inside && column.x + 1 < width, column.index + 1,
        [&] { return contrast_right(lab, column.x, column.y, width); });
}

}  // namespace superpixel
