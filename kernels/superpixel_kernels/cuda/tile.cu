// What a tile of a large image gives besides its edges.
#include "device.cuh"

using namespace superpixel;

constexpr i32 kTileHeight = 8;

// Resets `seen`.
extern "C" __global__ void tile_clear(const u32* counters, u32 capacity, u32* seen) {
    const u32 regions = counters[kRegions];
    const i64 i = thread_rank();
    if (regions <= capacity && i < regions) seen[i] = 0;
}

// The tile's pixels are those from (x0, y0) up to, but without, (x1, y1) in the crop. Writes the first pixel
// of each region to `first`, 1 to `seen` for each region that has pixels in the tile, and the regions of
// these pixels to `tile_labels`.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    tile_regions(const u32* counters, u32 capacity, const i32* __restrict__ labels,
                 const i32* __restrict__ parent, i32 width, i32 height, i32 x0, i32 y0, i32 x1, i32 y1,
                 i32* first, u32* seen, i32* tile_labels) {
    if (counters[kRegions] > capacity) return;
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    if (!at.inside) return;
    const i32 label = labels[at.index];
    // The root of a component is its first pixel.
    if (parent[at.index] == static_cast<i32>(at.index)) first[label] = static_cast<i32>(at.index);
    if (at.x < x0 || at.x >= x1 || at.y < y0 || at.y >= y1) return;
    // Several threads may write the same value here.
    if (at.x == x0 || labels[at.index - 1] != label) store(seen + label, 1u);
    tile_labels[static_cast<i64>(at.y - y0) * (x1 - x0) + at.x - x0] = label;
}
