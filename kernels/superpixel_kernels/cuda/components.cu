// Stage components: 4-connected components of equal labels, numbered in the order of their first pixels.
// Union-find within tiles in shared memory, then across the seams between tiles (Playne and Hawick 2018).
#include "device.cuh"

using namespace superpixel;

constexpr i32 kTileHeight = 16;
constexpr i32 kTileThreads = kTileWidth * kTileHeight;

namespace {

// What the pixels of a component have in common: the assigned label.
struct Labels {
    const i32* __restrict__ labels;
    SUPERPIXEL_DEVICE i32 operator[](i64 pixel) const { return labels[pixel]; }
};

// With a hard prior map: the assigned label and the prior's label, both at least 0.
struct LabelPairs {
    const i32* __restrict__ labels;
    const i32* __restrict__ prior;
    SUPERPIXEL_DEVICE i64 operator[](i64 pixel) const {
        return static_cast<i64>(labels[pixel]) << 32 | prior[pixel];
    }
};

// Writes parent[i]: the first pixel of i's component within its tile.
template <class Pixels>
SUPERPIXEL_DEVICE void label_tiles(Pixels labels, i32 width, i32 height, i32* parent) {
    using Label = decltype(labels[0]);
    __shared__ i32 local_parent[kTileThreads];
    __shared__ Label label_of[kTileThreads];
    const i32 local = static_cast<i32>(threadIdx.x);
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const Label label = at.inside ? labels[at.index] : -1;
    label_of[local] = label;
    // Runs of equal labels in a row need no union: each pixel points to the first one of its run.
    const Label left = __shfl_up_sync(kFullWarp, label, 1);
    const bool joins_left = lane() > 0 && left == label;
    local_parent[local] = local - lane() + run_from(!joins_left).start;
    __syncthreads();
    if (at.inside && local >= kWarp && label_of[local - kWarp] == label) {
        // If the two pixels to the left also belong to both runs, their thread unites them.
        const bool done = joins_left && label_of[local - kWarp - 1] == label;
        if (!done) unite(local_parent, local, local - kWarp);
    }
    __syncthreads();
    if (!at.inside) return;
    const i32 root = find_root(local_parent, local);
    const i64 x = at.x - lane() + root % kWarp;
    const i64 y = at.y - local / kWarp + root / kWarp;
    parent[at.index] = static_cast<i32>(y * width + x);
}

// One thread per pixel below a horizontal seam, then one per pixel right of a vertical seam.
template <class Pixels>
SUPERPIXEL_DEVICE void unite_over_seams(Pixels labels, i32 width, i32 height, i32* parent) {
    const i64 rows = (height - 1) / kTileHeight;
    const i64 columns = (width - 1) / kTileWidth;
    i64 i = thread_rank();
    if (i < rows * width) {
        const i64 x = i % width;
        const i64 here = (i / width + 1) * kTileHeight * width + x;
        const i64 above = here - width;
        if (labels[here] != labels[above]) return;
        // If the pair to the left, in the same tiles, has the same label, its thread does the union.
        if (x % kTileWidth != 0 && labels[here - 1] == labels[here] && labels[above - 1] == labels[above])
            return;
        unite(parent, static_cast<i32>(here), static_cast<i32>(above));
        return;
    }
    i -= rows * width;
    if (i < columns * height) {
        const i64 y = i % height;
        const i64 here = y * width + (i / height + 1) * kTileWidth;
        if (labels[here] != labels[here - 1]) return;
        if (y % kTileHeight != 0 && labels[here - width] == labels[here] &&
            labels[here - width - 1] == labels[here - 1])
            return;
        unite(parent, static_cast<i32>(here), static_cast<i32>(here - 1));
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kTileThreads)
    components_tiles(const i32* __restrict__ labels, i32 width, i32 height, i32* parent) {
    label_tiles(Labels{labels}, width, height, parent);
}
extern "C" __global__ void __launch_bounds__(kTileThreads)
    components_tiles_of_pairs(const i32* __restrict__ labels, const i32* __restrict__ prior, i32 width,
                              i32 height, i32* parent) {
    label_tiles(LabelPairs{labels, prior}, width, height, parent);
}

extern "C" __global__ void components_seams(const i32* __restrict__ labels, i32 width, i32 height,
                                            i32* parent) {
    unite_over_seams(Labels{labels}, width, height, parent);
}
extern "C" __global__ void components_seams_of_pairs(const i32* __restrict__ labels,
                                                     const i32* __restrict__ prior, i32 width, i32 height,
                                                     i32* parent) {
    unite_over_seams(LabelPairs{labels, prior}, width, height, parent);
}

// Points every node at its root, and counts the roots of each block.
extern "C" __global__ void components_flatten(i32 nodes, i32* parent, i32* block_roots) {
    const i64 i = thread_rank();
    bool is_root = false;
    if (i < nodes) {
        const i32 node = static_cast<i32>(i);
        const i32 root = find_root(parent, node);
        is_root = root == node;
        // Other threads may be following parents through this node.
        if (!is_root) store(parent + node, root);
    }
    const i32 roots = __syncthreads_count(is_root ? 1 : 0);
    if (threadIdx.x == 0) block_roots[blockIdx.x] = roots;
}

// One block: replaces each count by the sum of all counts before it; the total goes to `total`.
extern "C" __global__ void components_scan(i32 blocks, i32* block_roots, u32* total) {
    __shared__ i32 scratch[kWarp + 1];
    i32 before = 0;
    for (i32 base = 0; base < blocks; base += static_cast<i32>(blockDim.x)) {
        const i32 i = base + static_cast<i32>(threadIdx.x);
        const i32 roots = i < blocks ? block_roots[i] : 0;
        i32 sum = 0;
        const i32 rank = block_exclusive_sum(roots, scratch, sum);
        if (i < blocks) block_roots[i] = before + rank;
        before += sum;
    }
    if (threadIdx.x == 0) *total = static_cast<u32>(before);
}

// Numbers the roots in ascending order. The launch must have the same blocks as that of components_flatten.
extern "C" __global__ void components_number(i32 nodes, const i32* __restrict__ parent,
                                             const i32* __restrict__ roots_before, i32* number) {
    __shared__ i32 scratch[kWarp + 1];
    const i64 i = thread_rank();
    const bool is_root = i < nodes && parent[i] == static_cast<i32>(i);
    i32 total = 0;
    const i32 rank = block_exclusive_sum(is_root ? 1 : 0, scratch, total);
    if (is_root) number[i] = roots_before[blockIdx.x] + rank;
}

extern "C" __global__ void components_label(i32 nodes, const i32* __restrict__ parent,
                                            const i32* __restrict__ number, i32* labels) {
    const i64 i = thread_rank();
    if (i < nodes) labels[i] = number[parent[i]];
}
