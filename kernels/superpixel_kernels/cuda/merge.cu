// Stage merge: all rounds in two or three launches, then the sort of the records.
//
// While there are many edges, as many blocks as fit the device do the rounds (merge_rounds.cuh) together. If
// Tuning.few_edges says so, a second launch with few blocks goes on. The rest, the tail, is done by one
// block, which has edges, table and choices in shared memory. The host reads nothing in between.
#include "merge_rounds.cuh"

using namespace superpixel;

namespace {

// Most threads per block of the rounds. workspace.py has the same number.
constexpr i32 kThreads = 512;

// Most edges of the tail. workspace.py has the same number.
constexpr u32 kTailEdges = 448;
// Each region of the tail has an edge. The graph may consist of separate parts.
constexpr u32 kTailRegions = 2 * kTailEdges;
constexpr u32 kTailSlots = 1024;
static_assert(2 * kTailEdges <= kTailSlots && kTailRegions <= 1u << kPlaceBits);

// Where the rounds before this launch have ended.
SUPERPIXEL_DEVICE RoundState state_left(const u32* counters) {
    return {static_cast<i32>(counters[kTailRound]), counters[kTailRecords], counters[kTailCollective] != 0};
}

// All rounds until at most `enough` edges are left, by all blocks of a cooperative launch. If `begins`, takes
// what stage graph leaves: regions with their sums, a list of edges, and an empty table; or what the first
// run leaves and guidance_rejoin has made of it. Otherwise goes on where an earlier launch has ended. `few`:
// which of the two barriers to use. All launches that use a barrier have the same number of blocks.
template <bool kImportance>
SUPERPIXEL_DEVICE void merge_together(const Merge<kImportance, false>& merge, u32 capacity, u32 enough,
                                      bool begins, bool few) {
    u32* const counters = merge.counters;
    if (counters[kRegions] > capacity) return;
    RoundState state = begins ? RoundState{0, counters[kRecords], false} : state_left(counters);
    const GridScope all{counters + (few ? kArrivedFew : kArrived)};
    if (begins) choose_first(merge, all);
    rounds(merge, all, state, enough);
    // After this barrier, no block has to read any more where the earlier launch ended.
    all.sync();
    if (all.rank() == 0) {
        counters[kTailRound] = static_cast<u32>(state.round);
        counters[kTailRecords] = state.records;
        counters[kTailCollective] = state.collective ? 1 : 0;
    }
}

// All remaining rounds, by one block.
template <bool kImportance>
SUPERPIXEL_DEVICE void merge_alone(const Merge<kImportance, false>& merge, u32 capacity) {
    __shared__ u32 counters[kCounters];
    __shared__ u64 best[kTailRegions];
    __shared__ i32 into[kTailRegions];
    __shared__ i32 identity[kTailRegions];
    __shared__ u64 edge_pair[kTailEdges];
    __shared__ u32 edge_len[kTailEdges];
    __shared__ u64 edge_cs[kTailEdges];
    __shared__ u64 word[kTailEdges];
    __shared__ u64 slot_key[kTailSlots];
    __shared__ u32 slot_len[kTailSlots];
    __shared__ u64 slot_cs[kTailSlots];
    __shared__ u32 places;

    if (merge.counters[kRegions] > capacity) return;
    const BlockScope block{};
    const auto each = [&](u32 count, auto&& body) {
        for (u32 i = block.rank(); i < count; i += block.size()) body(i);
        block.sync();
    };
    const Edges& edges = merge.edges;
    u64* const place_of = merge.regions.tie;  // scratch
    RoundState state = state_left(merge.counters);
    const u32 count = merge.counters[edges_of_round(state.round)];
    if (block.rank() == 0) places = 0;
    for (u32 i = block.rank(); i < kCounters; i += block.size()) counters[i] = merge.counters[i];
    // Any one end of an edge takes a place for its region.
    each(count, [&](u32 i) {
        store(place_of + edge_a(edges.key[i]), 2ull * i);
        store(place_of + edge_b(edges.key[i]), 2ull * i + 1);
    });
    each(count, [&](u32 i) {
        const i32 a = edge_a(edges.key[i]);
        const i32 b = edge_b(edges.key[i]);
        if (load(place_of + a) == 2ull * i) identity[atomicAdd(&places, 1u)] = a;
        if (load(place_of + b) == 2ull * i + 1) identity[atomicAdd(&places, 1u)] = b;
    });
    each(places, [&](u32 place) {
        store(place_of + identity[place], static_cast<u64>(place));
        best[place] = merge.best[identity[place]];
        into[place] = static_cast<i32>(place);
    });
    for (u32 i = block.rank(); i < kTailSlots; i += block.size()) {
        slot_key[i] = kNoKey;
        slot_len[i] = 0;
        slot_cs[i] = 0;
    }
    each(count, [&](u32 i) {
        const u64 key = edges.key[i];
        edge_pair[i] = edge_key(static_cast<i32>(load(place_of + edge_a(key))),
                                static_cast<i32>(load(place_of + edge_b(key))));
        edge_len[i] = edges.len[i];
        edge_cs[i] = edges.cs[i];
        word[i] = merge.word[i];
    });
    const Merge<kImportance, true> tail{counters,      merge.regions,
                                        best,          into,
                                        identity,      {edge_pair, edge_len, edge_cs},
                                        word,          {slot_key, slot_len, slot_cs},
                                        merge.records, merge.choosers,
                                        merge.params};
    rounds(tail, block, state, 0);
    for (u32 i = block.rank(); i < kCounters; i += block.size()) merge.counters[i] = counters[i];
}

}  // namespace

// The tail is a kernel of its own, so that several streams can run it at the same time.
#define SUPERPIXEL_MERGE_PARAMETERS                                                             \
    u32 *counters, u32 capacity, Node *nodes, i32 *parent, u64 *best, u64 *tie, u64 *edge_keys, \
        u32 *edge_len, u64 *edge_cs, u64 *word, u64 *table_key, u32 *table_len, u64 *table_cs,  \
        int4 *records, u32 *choosers, double k4, double cell_area, u64 *importance
#define SUPERPIXEL_MERGE                                                                                   \
    {                                                                                                      \
        counters, {nodes, importance, parent, tie}, best, parent, nullptr, {edge_keys, edge_len, edge_cs}, \
            word, {table_key, table_len, table_cs}, records, choosers, {                                   \
            k4, cell_area                                                                                  \
        }                                                                                                  \
    }

extern "C" __global__ void __launch_bounds__(kThreads, 1)
    merge_rounds(SUPERPIXEL_MERGE_PARAMETERS, u32 enough, i32 begins, i32 few) {
    merge_together(Merge<false, false> SUPERPIXEL_MERGE, capacity, enough, begins != 0, few != 0);
}
extern "C" __global__ void __launch_bounds__(kThreads, 1) merge_tail(SUPERPIXEL_MERGE_PARAMETERS) {
    merge_alone(Merge<false, false> SUPERPIXEL_MERGE, capacity);
}
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    merge_rounds_by_importance(SUPERPIXEL_MERGE_PARAMETERS, u32 enough, i32 begins, i32 few) {
    merge_together(Merge<true, false> SUPERPIXEL_MERGE, capacity, enough, begins != 0, few != 0);
}
extern "C" __global__ void __launch_bounds__(kThreads, 1)
    merge_tail_by_importance(SUPERPIXEL_MERGE_PARAMETERS) {
    merge_alone(Merge<true, false> SUPERPIXEL_MERGE, capacity);
}

namespace {

// Order of records: (run, height, round, a, b), a strict total order.
SUPERPIXEL_DEVICE bool precedes(const int4& p, const int4& q) {
    if (((p.y ^ q.y) & static_cast<i32>(kSecondRun)) != 0) return p.y < q.y;
    if (p.x != q.x) return static_cast<u32>(p.x) < static_cast<u32>(q.x);
    if (p.y != q.y) return p.y < q.y;
    return p.z != q.z ? p.z < q.z : p.w < q.w;
}

constexpr u32 kSortTile = 1024;

}  // namespace

// Sorts each tile of kSortTile records by a bitonic network in shared memory (Batcher 1968).
extern "C" __global__ void __launch_bounds__(kSortTile / 2)
    merge_sort_tiles(const u32* counters, u32 capacity, int4* records) {
    __shared__ int4 tile[kSortTile];
    if (counters[kRegions] > capacity) return;
    const u32 count = counters[kRecords];
    const u32 begin = blockIdx.x * kSortTile;
    if (begin >= count) return;
    const int4 last{-1, 0x7fffffff, 0x7fffffff, 0x7fffffff};
    for (u32 i = threadIdx.x; i < kSortTile; i += blockDim.x) {
        tile[i] = begin + i < count ? records[begin + i] : last;
    }
    for (u32 size = 2; size <= kSortTile; size *= 2) {
        for (u32 apart = size / 2; apart > 0; apart /= 2) {
            __syncthreads();
            for (u32 i = threadIdx.x; i < kSortTile / 2; i += blockDim.x) {
                const u32 p = i / apart * 2 * apart + i % apart;
                const u32 q = p + apart;
                const bool rising = (p & size) == 0;
                const int4 low = tile[p];
                const int4 high = tile[q];
                if (precedes(high, low) == rising) {
                    tile[p] = high;
                    tile[q] = low;
                }
            }
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < kSortTile; i += blockDim.x) {
        if (begin + i < count) records[begin + i] = tile[i];
    }
}

// Merges pairs of sorted runs of `run` records. A record's new place is its place in its own run, plus the
// number of records of the other run that precede it. If there is one run only, this copies it: then the
// array that the last launch writes does not depend on the number of records.
extern "C" __global__ void merge_sort_runs(const u32* counters, u32 capacity, u32 run,
                                           const int4* __restrict__ from, int4* to) {
    if (counters[kRegions] > capacity) return;
    const i64 i = thread_rank();
    const i64 count = counters[kRecords];
    if (i >= count) return;
    const int4 record = from[i];
    const i64 own = i / run * run;
    const i64 pair = own / (2 * static_cast<i64>(run)) * (2 * static_cast<i64>(run));
    const i64 other = own == pair ? pair + run : pair;
    i64 low = min(other, count);
    i64 high = min(other + run, count);
    const i64 other_begin = low;
    while (low < high) {
        const i64 middle = (low + high) / 2;
        if (precedes(from[middle], record)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    to[pair + (i - own) + (low - other_begin)] = record;
}

// Removes the mark of the second run from the rounds.
extern "C" __global__ void merge_unmark(const u32* counters, u32 capacity, int4* records) {
    if (counters[kRegions] > capacity) return;
    const i64 i = thread_rank();
    if (i < counters[kRecords]) records[i].y &= static_cast<i32>(~kSecondRun);
}
