// Guidance: what stages graph and merge need of the edge map, the prior map and the importance map.
#include "edge_table.cuh"
#include "nodes.cuh"
#include "sides.cuh"
#include "superpixel/guidance.h"
#include "superpixel/merge.h"

using namespace superpixel;

namespace {

constexpr i32 kTileHeight = 8;

// Slots that a pair may try before it is left out; with many passes, all slots.
constexpr u32 kProbes = 256;
constexpr u32 kManyPasses = 64;

// What a region has of a prior label, in one word: the larger, the more pixels; among equals, the smaller the
// label.
SUPERPIXEL_DEVICE u64 share_of(u32 pixels, u32 label) { return static_cast<u64>(pixels) << 32 | ~label; }
SUPERPIXEL_DEVICE bool same_label(u64 share, u64 other) {
    return static_cast<u32>(share) == static_cast<u32>(other);
}

// Adds a run of pixels to the table. If there are too many pairs for it, sets `left_out` instead.
SUPERPIXEL_DEVICE void add_pair(u64* keys, u32* counts, u32 mask, u32 probes, u64 key, u32 hash, u32 pixels,
                                u32* left_out) {
    u32 slot = hash & mask;
    for (u32 probe = 0; probe < probes; ++probe) {
        u64 found = load(keys + slot);
        if (found == kNoKey) found = atomicCAS(keys + slot, kNoKey, key);
        if (found == kNoKey || found == key) {
            atomicAdd(counts + slot, pixels);
            return;
        }
        slot = (slot + 1) & mask;
    }
    atomicMax(left_out, 1u);
}

}  // namespace

// Resets what the kernels below add up; `with_...`: whether the image has such a map.
extern "C" __global__ void guidance_clear(const u32* counters, u32 capacity, u64* edge_sum, i32 with_edges,
                                          u64* importance_sum, i32 with_importance, u64* share,
                                          i32 with_prior) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const i64 i = thread_rank();
    if (i >= regions) return;
    if (with_edges != 0) edge_sum[i] = 0;
    if (with_importance != 0) importance_sum[i] = 0;
    if (with_prior != 0) share[i] = 0;
}

// Sums of the edge map and of the importance map over each region.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    guidance_sums(const u32* counters, u32 capacity, const i32* __restrict__ labels, i32 width, i32 height,
                  const unsigned char* __restrict__ edges, i32 with_edges,
                  const unsigned char* __restrict__ importance, i32 with_importance, u64* edge_sum,
                  u64* importance_sum) {
    if (counters[kRegions] > capacity) return;
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const i32 label = at.inside ? labels[at.index] : -1;
    const u32 strength = at.inside && with_edges != 0 ? edges[at.index] : 0;
    const u32 value = at.inside && with_importance != 0 ? importance[at.index] : 0;
    const i32 left = __shfl_up_sync(kFullWarp, label, 1);
    const Run run = run_from(lane() == 0 || left != label);
    // Two sums in one word: at most 32 * 255 each.
    const u32 sums = run_sum(run, strength | value << 16);
    if (!run.ends || label < 0) return;
    if (with_edges != 0) atomicAdd(edge_sum + label, static_cast<u64>(sums & 0xffffu));
    if (with_importance != 0) atomicAdd(importance_sum + label, static_cast<u64>(sums >> 16));
}

// Counts the pixels of each pair of a region and a prior label, in the table of edges. Of `passes` passes,
// each counts the pairs of its own share.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    guidance_pairs(u32* counters, u32 capacity, const i32* __restrict__ labels, i32 width, i32 height,
                   const i32* __restrict__ prior, u32 pass, u32 passes, u64* table_key, u32* table_len) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const i32 label = at.inside ? labels[at.index] : -1;
    const i32 of_prior = at.inside ? prior[at.index] : -1;
    const i32 left = __shfl_up_sync(kFullWarp, label, 1);
    const i32 left_of_prior = __shfl_up_sync(kFullWarp, of_prior, 1);
    const Run run = run_from(lane() == 0 || left != label || left_of_prior != of_prior);
    if (!run.ends || label < 0) return;
    const u32 hash = edge_hash(static_cast<u32>(label), static_cast<u32>(of_prior));
    if (passes > 1 && edge_hash(hash, static_cast<u32>(of_prior)) % passes != pass) return;
    const u32 slots = region_slots(regions);
    const u32 probes = passes < kManyPasses ? min(kProbes, slots) : slots;
    add_pair(table_key, table_len, slots - 1, probes, edge_key(label, of_prior), hash,
             static_cast<u32>(lane() - run.start + 1), counters + kPairsLeftOut);
}

// Finds each region's most frequent label among the pairs in the table, and clears the table.
extern "C" __global__ void guidance_majority(const u32* counters, u32 capacity, u64* table_key,
                                             u32* table_len, u64* share) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const u32 slots = region_slots(regions);
    const u32 stride = gridDim.x * blockDim.x;
    for (u32 slot = static_cast<u32>(thread_rank()); slot < slots; slot += stride) {
        const u64 key = table_key[slot];
        if (key == kNoKey) continue;
        atomicMax(share + edge_a(key), share_of(table_len[slot], static_cast<u32>(edge_b(key))));
        table_key[slot] = kNoKey;
        table_len[slot] = 0;
    }
}

// With a hard prior map all pixels of a region have the same label.
extern "C" __global__ void guidance_labels(const u32* counters, u32 capacity, const i32* __restrict__ labels,
                                           const i32* __restrict__ prior, i32 pixels, u64* share) {
    if (counters[kRegions] > capacity) return;
    const i64 i = thread_rank();
    if (i >= pixels || (i > 0 && labels[i - 1] == labels[i])) return;
    // Several threads may write the same value here.
    store(share + labels[i], share_of(0, static_cast<u32>(prior[i])));
}

// As graph_sides, with the terms of the edge map and of a soft prior map. A map of weight 0 is not read.
extern "C" __global__ void __launch_bounds__(kTileWidth* kSideTileHeight)
    guidance_sides(const u32* counters, u32 capacity, const u32* __restrict__ lab,
                   const i32* __restrict__ labels, i32 width, i32 height, const Node* __restrict__ nodes,
                   const unsigned char* __restrict__ edges, i32 edge_weight, const u64* __restrict__ edge_sum,
                   i32 prior_weight, const u64* __restrict__ share, u64* table_key, u32* table_len,
                   u64* table_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const Edges table{table_key, table_len, table_cs};
    const auto more = [&](i64 pixel, i64 beside, i32 region, i32 other) {
        u32 contrast = 0;
        if (edge_weight != 0) {
            const auto level = [&](i32 of) {
                return edge_level(static_cast<i64>(edge_sum[of]), static_cast<i64>(nodes[of].n));
            };
            contrast += static_cast<u32>(
                edge_weight * edge_excess(edges[pixel], edges[beside], level(region), level(other)));
        }
        if (prior_weight != 0 && !same_label(share[region], share[other])) {
            contrast += static_cast<u32>(prior_weight);
        }
        return contrast;
    };
    add_sides<u64>(table, region_slots(regions) - 1, lab, labels, width, height, more);
}

// Where the outer edges are: from the end of the list of edges on. The edges at its beginning only become
// fewer until the outer ones are needed.
SUPERPIXEL_DEVICE u32 outer_place(u32 capacity, u32 i) { return kEdgesPerRegion * capacity - 1 - i; }

// With a hard prior map: moves the edges between regions of one label to the list. `outer` != 0: moves the
// others, the outer edges.
extern "C" __global__ void guidance_list(u32* counters, u32 capacity, i32 outer,
                                         const u64* __restrict__ share, u64* table_key, u32* table_len,
                                         u64* table_cs, u64* edge_keys, u32* edge_len, u64* edge_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const bool inner = outer == 0;
    const Edges list{edge_keys, edge_len, edge_cs};
    drain_slots(
        Edges{table_key, table_len, table_cs}, region_slots(regions), static_cast<u32>(thread_rank()),
        gridDim.x * blockDim.x, counters + (inner ? kEdges : kOuterEdges),
        [&](u64 key) { return same_label(share[edge_a(key)], share[edge_b(key)]) == inner; },
        [&](u32 i, u64 key, u32 len, u64 cs) {
            list.put(inner ? i : outer_place(capacity, i), key, len, cs);
        });
}

// After the first run of the merge: gives the outer edges the regions that are left, joins them in the table,
// and resets the regions' heights and choices, and the rounds.
extern "C" __global__ void guidance_rejoin(u32* counters, u32 capacity, const u64* __restrict__ edge_keys,
                                           const u32* __restrict__ edge_len, const u64* __restrict__ edge_cs,
                                           const i32* __restrict__ parent, Node* nodes, u64* best, u64* tie,
                                           u64* table_key, u32* table_len, u64* table_cs) {
    const u32 regions = counters[kRegions];
    if (regions > capacity) return;
    const Edges table{table_key, table_len, table_cs};
    const u32 mask = region_slots(regions) - 1;
    const u32 edges = counters[kOuterEdges];
    const u32 stride = gridDim.x * blockDim.x;
    for (u32 i = static_cast<u32>(thread_rank()); i < edges; i += stride) {
        const u32 at = outer_place(capacity, i);
        const i32 p = find_root(parent, edge_a(edge_keys[at]));
        const i32 q = find_root(parent, edge_b(edge_keys[at]));
        add_edge(table, mask, edge_key(min(p, q), max(p, q)), edge_len[at], edge_cs[at]);
    }
    for (u32 i = static_cast<u32>(thread_rank()); i < regions; i += stride) {
        nodes[i].height = 0;
        best[i] = tie[i] = ~0ull;
    }
    if (thread_rank() == 0) {
        counters[kFirstRecords] = counters[kRecords];
        counters[kFirstRounds] = counters[kRounds];
        counters[kMark] = kSecondRun;
        counters[kEdges] = counters[kEdgesOther] = counters[kRounds] = 0;
    }
}
