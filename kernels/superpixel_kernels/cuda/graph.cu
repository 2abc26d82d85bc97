// Stage graph: sums over the regions, and the edges between them.
//
// Arrays are sized from a guess of the number of regions, `capacity`. If the image has more, every kernel of
// the stages graph and merge returns at once, and the host runs the image again with larger arrays.
#include "edge_table.cuh"
#include "nodes.cuh"
#include "sides.cuh"

using namespace superpixel;

constexpr i32 kTileHeight = 8;

// Resets the nodes, the part of the table that is used for at most `edges_per_node` edges per node, and all
// counters but that of the regions.
extern "C" __global__ void graph_clear(u32* counters, u32 capacity, u32 edges_per_node, Node* nodes,
                                       i32* parent, u64* best, u64* tie, u64* table_key, u32* table_len,
                                       u64* table_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const i64 stride = static_cast<i64>(gridDim.x) * blockDim.x;
    for (i64 i = thread_rank(); i < regions; i += stride) {
        nodes[i] = Node{0, 0, 0, 0, 0};
        parent[i] = static_cast<i32>(i);
        best[i] = tie[i] = ~0ull;
    }
    const u32 slots = table_slots(edges_per_node * regions);
    for (i64 i = thread_rank(); i < slots; i += stride) {
        table_key[i] = kNoKey;
        table_len[i] = 0;
        table_cs[i] = 0;
    }
    if (thread_rank() == 0) {
        for (i32 k = kRegions + 1; k < kCounters; ++k) counters[k] = 0;
    }
}

// Sums over the pixels of each region. A warp covers a part of a row, and adds once per run of equal labels.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    graph_nodes(const u32* counters, u32 capacity, const u32* __restrict__ lab,
                const i32* __restrict__ labels, i32 width, i32 height, Node* nodes) {
    if (counters[kRegions] > capacity) return;
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const i32 label = at.inside ? labels[at.index] : -1;
    const u32 pixel = at.inside ? lab[at.index] : 0;
    const i32 left = __shfl_up_sync(kFullWarp, label, 1);
    const Run run = run_from(lane() == 0 || left != label);
    // Three sums in one word: at most 32 * 400, 32 * 1131 and 32 * 1113, so each fits its field.
    const u64 sums = run_sum(run, static_cast<u64>(lab_L(pixel)) | static_cast<u64>(lab_A(pixel)) << 16 |
                                      static_cast<u64>(lab_B(pixel)) << 32);
    if (!run.ends || label < 0) return;
    Node* const node = nodes + label;
    atomicAdd(&node->n, static_cast<u32>(lane() - run.start + 1));
    atomicAdd(&node->sum_L, sums & 0xffffu);
    atomicAdd(&node->sum_A, sums >> 16 & 0xffffu);
    atomicAdd(&node->sum_B, sums >> 32);
}

// Adds the side to the right and the side below each pixel to the table, if they lie between two regions.
extern "C" __global__ void __launch_bounds__(kTileWidth* kSideTileHeight)
    graph_sides(const u32* counters, u32 capacity, const u32* __restrict__ lab,
                const i32* __restrict__ labels, i32 width, i32 height, u64* table_key, u32* table_len,
                u64* table_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const Edges table{table_key, table_len, table_cs};
    add_sides<u32>(table, region_slots(regions) - 1, lab, labels, width, height,
                   [](i64, i64, i32, i32) { return 0u; });
}

// Moves the edges from the table to a list.
extern "C" __global__ void graph_list(u32* counters, u32 capacity, u64* table_key, u32* table_len,
                                      u64* table_cs, u64* edge_keys, u32* edge_len, u64* edge_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const Edges table{table_key, table_len, table_cs};
    const Edges list{edge_keys, edge_len, edge_cs};
    const u32 slots = region_slots(regions);
    drain_slots(
        table, slots, static_cast<u32>(thread_rank()), gridDim.x * blockDim.x, counters + kEdges,
        [](u64) { return true; }, [&](u32 i, u64 key, u32 len, u64 cs) { list.put(i, key, len, cs); });
}

// The pixel level: every pixel is a node, and every side between two pixels of one base region an edge.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    graph_pixels(u32* counters, const u32* __restrict__ lab, const i32* __restrict__ labels, i32 width,
                 i32 height, Node* nodes, u64* edge_keys, u32* edge_len, u64* edge_cs) {
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    bool right = false;
    bool below = false;
    if (at.inside) {
        const u32 pixel = lab[at.index];
        nodes[at.index] = Node{static_cast<u64>(lab_L(pixel)), static_cast<u64>(lab_A(pixel)),
                               static_cast<u64>(lab_B(pixel)), 1, 0};
        right = at.x + 1 < width && labels[at.index + 1] == labels[at.index];
        below = at.y + 1 < height && labels[at.index + width] == labels[at.index];
    }
    const i32 node = static_cast<i32>(at.index);
    const u32 right_at = append(counters + kEdges, right);
    const u32 below_at = append(counters + kEdges, below);
    if (right) {
        edge_keys[right_at] = edge_key(node, node + 1);
        edge_len[right_at] = 1;
        edge_cs[right_at] = contrast_right(lab, at.x, at.y, width);
    }
    if (below) {
        edge_keys[below_at] = edge_key(node, node + width);
        edge_len[below_at] = 1;
        edge_cs[below_at] = contrast_down(lab, at.x, at.y, width, height);
    }
}
