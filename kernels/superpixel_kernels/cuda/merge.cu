// Stage merge: all rounds in two launches, then the sort of the records.
//
// A round has five phases, each over a list that the phase before has completed:
//   choose    edges     compute the word (cost and hash); find the least word of each region
//   settle    edges     among equal words, find the least pair of regions
//   unite     edges     those chosen by both ends (collective round: by at least one) become records
//   absorb    records   add sums and heights to the region that remains
//             edges     get their new ends and go into the table, which joins equal pairs
//   list      table     is moved to the list of edges, and cleared
// While there are many edges, all blocks of a cooperative launch do the phases together; the rest, the tail,
// is done by one block in a second launch. The host reads nothing in between.
#include "edge_table.cuh"
#include "superpixel/guidance.h"
#include "superpixel/merge.h"

using namespace superpixel;

namespace {

constexpr u64 kNoWord = ~0ull;

// Threads per block of merge_rounds_by_importance, which needs more registers.
constexpr i32 kImportanceThreads = 512;

// Which ends of an edge chose it. The edge is recorded once in either case.
enum Chooser : u32 { kChosenByA = 1, kChosenByB = 2 };

struct Regions {
    u32* n;
    u64 *sum_L, *sum_A, *sum_B;
    u64* importance;  // with an importance map: the sum of its values
    u32* height;      // bits of a non-negative float, which have the order of the floats
    i32* parent;      // the region itself; after a merge, the region that it was merged into
    u64 *best, *tie;
};

// kImportance: with an importance map.
template <bool kImportance>
struct Merge {
    u32* counters;
    Regions regions;
    Edges edges;
    u64* word;  // of each edge
    Edges table;
    int4* records;  // height's bits, round, a, b
    u32* choosers;  // of each record
    CostParams params;
};

// The threads of one block.
struct BlockScope {
    __device__ u32 rank() const { return threadIdx.x; }
    __device__ u32 size() const { return blockDim.x; }
    __device__ void sync() const { __syncthreads(); }
};

// The threads of all blocks of a cooperative launch. Blocks wait until all have arrived. The count of
// arrivals only grows, so a block that is slow to see it cannot miss a barrier.
struct GridScope {
    u32* arrived;
    __device__ u32 rank() const { return blockIdx.x * blockDim.x + threadIdx.x; }
    __device__ u32 size() const { return gridDim.x * blockDim.x; }
    __device__ void sync() const {
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            const u32 ticket = atomicAdd(arrived, 1u);
            const u32 goal = (ticket / gridDim.x + 1) * gridDim.x;
            while (load(arrived) < goal) __nanosleep(32);
            __threadfence();
        }
        __syncthreads();
    }
};

SUPERPIXEL_DEVICE RegionMean mean_of(const Regions& regions, i32 region) {
    return region_mean(static_cast<double>(regions.n[region]), static_cast<double>(regions.sum_L[region]),
                       static_cast<double>(regions.sum_A[region]),
                       static_cast<double>(regions.sum_B[region]));
}

// What stands for the size of a region.
SUPERPIXEL_DEVICE double weight_of(const Regions& regions, i32 region) {
    return importance_weight(static_cast<i64>(regions.n[region]),
                             static_cast<i64>(regions.importance[region]));
}

template <bool kImportance>
SUPERPIXEL_DEVICE float cost_of(const Merge<kImportance>& m, i32 a, i32 b, u32 edge) {
    const Regions& r = m.regions;
    const double len = static_cast<double>(m.edges.len[edge]);
    const double cs = static_cast<double>(m.edges.cs[edge]);
    if constexpr (kImportance) {
        const double hm = half_harmonic_mean(weight_of(r, a), weight_of(r, b));
        return edge_cost_at_size(mean_of(r, a), mean_of(r, b), hm, len, cs, m.params);
    } else {
        return edge_cost(mean_of(r, a), mean_of(r, b), len, cs, m.params);
    }
}

template <bool kImportance>
SUPERPIXEL_DEVICE void choose(const Merge<kImportance>& m, u32 edge) {
    const u64 key = m.edges.key[edge];
    const i32 a = edge_a(key);
    const i32 b = edge_b(key);
    const u32 cost = __float_as_uint(cost_of(m, a, b, edge));
    const u64 word = edge_word(cost, edge_hash(static_cast<u32>(a), static_cast<u32>(b)));
    m.word[edge] = word;
    atomicMin(m.regions.best + a, word);
    atomicMin(m.regions.best + b, word);
}

template <bool kImportance>
SUPERPIXEL_DEVICE void settle(const Merge<kImportance>& m, u32 edge) {
    const u64 key = m.edges.key[edge];
    const u64 word = m.word[edge];
    const i32 a = edge_a(key);
    const i32 b = edge_b(key);
    if (m.regions.best[a] == word) atomicMin(m.regions.tie + a, key);
    if (m.regions.best[b] == word) atomicMin(m.regions.tie + b, key);
}

// All lanes of a warp must call it.
template <bool kImportance>
SUPERPIXEL_DEVICE void unite_ends(const Merge<kImportance>& m, u32 edge, bool inside, i32 round,
                                  bool collective) {
    i32 a = 0;
    i32 b = 0;
    u64 word = 0;
    u32 choosers = 0;
    if (inside) {
        const u64 key = m.edges.key[edge];
        word = m.word[edge];
        a = edge_a(key);
        b = edge_b(key);
        choosers = (m.regions.best[a] == word && m.regions.tie[a] == key ? kChosenByA : 0u) |
                   (m.regions.best[b] == word && m.regions.tie[b] == key ? kChosenByB : 0u);
    }
    const bool both = choosers == (kChosenByA | kChosenByB);
    const bool merges = collective ? choosers != 0 : both;
    const u32 at = append(m.counters + kRecords, merges);
    if (!merges) return;
    const u32 height = max(static_cast<u32>(word >> 32), max(m.regions.height[a], m.regions.height[b]));
    m.records[at] = int4{static_cast<i32>(height), round | static_cast<i32>(m.counters[kMark]), a, b};
    m.choosers[at] = choosers;
    // Every region that chose points at its choice, except the smaller end of a mutual choice. The key is a
    // strict total order, so the choices of a set form a tree whose root is that smaller end.
    if (choosers & kChosenByB) {
        m.regions.parent[b] = a;
    } else {
        m.regions.parent[a] = b;
    }
}

// Calls body(region) for each region that chose the record's edge. Over all records of a collective round
// these are all members of all new sets, each once.
template <bool kImportance, class F>
SUPERPIXEL_DEVICE void each_chooser(const Merge<kImportance>& m, u32 record, F&& body) {
    const int4 merged = m.records[record];
    if (m.choosers[record] & kChosenByA) body(merged.z);
    if (m.choosers[record] & kChosenByB) body(merged.w);
}

// After a collective round, parents form trees of any depth, and a root need not be the smallest member.
// Points every region at the smallest member of its set. `best` serves as scratch: it holds words of positive
// costs, which are larger than any region.
template <bool kImportance, class Scope>
SUPERPIXEL_DEVICE void name_sets(const Merge<kImportance>& m, Scope scope, u32 begin, u32 end) {
    const auto each = [&](auto&& body) {
        for (u32 i = begin + scope.rank(); i < end; i += scope.size()) each_chooser(m, i, body);
        scope.sync();
    };
    i32* const parent = m.regions.parent;
    u64* const least = m.regions.best;
    // Pointer jumping halves all depths (Wyllie 1979). A set has at most twice as many members as there are
    // new records.
    for (u32 depth = 2 * (end - begin); depth > 1; depth = (depth + 1) / 2) {
        each([&](i32 region) { store(parent + region, load(parent + load(parent + region))); });
    }
    each([&](i32 region) { atomicMin(least + parent[region], static_cast<u64>(region)); });
    each([&](i32 region) { parent[region] = static_cast<i32>(least[parent[region]]); });
}

template <bool kImportance>
SUPERPIXEL_DEVICE void absorb(const Merge<kImportance>& m, u32 record) {
    const u32 height = static_cast<u32>(m.records[record].x);
    each_chooser(m, record, [&](i32 region) {
        const Regions& r = m.regions;
        const i32 into = r.parent[region];
        // A record's height includes the heights of the two regions it joins.
        atomicMax(r.height + into, height);
        if (into == region) return;
        atomicAdd(r.n + into, r.n[region]);
        atomicAdd(r.sum_L + into, r.sum_L[region]);
        atomicAdd(r.sum_A + into, r.sum_A[region]);
        atomicAdd(r.sum_B + into, r.sum_B[region]);
        if constexpr (kImportance) atomicAdd(r.importance + into, r.importance[region]);
    });
}

template <bool kImportance>
SUPERPIXEL_DEVICE void relabel(const Merge<kImportance>& m, u32 edge, u32 mask) {
    const u64 key = m.edges.key[edge];
    const i32 p = m.regions.parent[edge_a(key)];
    const i32 q = m.regions.parent[edge_b(key)];
    if (p == q) return;
    // For the next round. Several threads may write the same value here.
    store(m.regions.best + p, kNoWord);
    store(m.regions.tie + p, kNoWord);
    store(m.regions.best + q, kNoWord);
    store(m.regions.tie + q, kNoWord);
    add_edge(m.table, mask, edge_key(min(p, q), max(p, q)), m.edges.len[edge], m.edges.cs[edge]);
}

struct RoundState {
    i32 round;
    u32 records;
    bool collective;  // whether this round is
};

// Rounds until at most `enough` edges are left.
template <bool kImportance, class Scope>
SUPERPIXEL_DEVICE void rounds(const Merge<kImportance>& m, Scope scope, RoundState& state, u32 enough) {
    while (true) {
        u32* const count = m.counters + (state.round % 2 == 0 ? kEdges : kEdgesOther);
        u32* const next_count = m.counters + (state.round % 2 == 0 ? kEdgesOther : kEdges);
        const u32 edges = *count;
        if (edges <= enough) return;
        for (u32 i = scope.rank(); i < edges; i += scope.size()) choose(m, i);
        scope.sync();
        for (u32 i = scope.rank(); i < edges; i += scope.size()) settle(m, i);
        if (scope.rank() == 0) *next_count = 0;
        scope.sync();
        const u32 whole_warps = (edges + kWarp - 1) / kWarp * kWarp;
        for (u32 i = scope.rank(); i < whole_warps; i += scope.size()) {
            unite_ends(m, i, i < edges, state.round, state.collective);
        }
        scope.sync();
        const u32 records = m.counters[kRecords];
        if (state.collective) name_sets(m, scope, state.records, records);
        const u32 slots = table_slots(edges);
        for (u32 i = state.records + scope.rank(); i < records; i += scope.size()) absorb(m, i);
        for (u32 i = scope.rank(); i < edges; i += scope.size()) relabel(m, i, slots - 1);
        scope.sync();
        drain_slots(m.table, slots, scope.rank(), scope.size(), m.edges, next_count);
        ++state.round;
        state.collective =
            collective_round(state.round, records - state.records, m.counters[kRegions] - state.records);
        state.records = records;
        if (scope.rank() == 0) m.counters[kRounds] = static_cast<u32>(state.round);
        scope.sync();
    }
}

// All rounds until at most `tail_edges` edges are left, by all blocks of a cooperative launch. Takes what
// stage graph leaves: regions with their sums, a list of edges, and an empty table; or what the first run
// leaves and guidance_rejoin has made of it.
template <bool kImportance>
SUPERPIXEL_DEVICE void merge_together(const Merge<kImportance>& merge, u32 capacity, u32 tail_edges) {
    u32* const counters = merge.counters;
    if (counters[kRegions] > capacity) return;
    RoundState state{0, counters[kRecords], false};
    const GridScope all{counters + kArrived};
    rounds(merge, all, state, tail_edges);
    if (all.rank() == 0) {
        counters[kTailRound] = static_cast<u32>(state.round);
        counters[kTailRecords] = state.records;
        counters[kTailCollective] = state.collective ? 1 : 0;
    }
}

// All remaining rounds, by one block.
template <bool kImportance>
SUPERPIXEL_DEVICE void merge_alone(const Merge<kImportance>& merge, u32 capacity) {
    const u32* const counters = merge.counters;
    if (counters[kRegions] > capacity) return;
    RoundState state{static_cast<i32>(counters[kTailRound]), counters[kTailRecords],
                     counters[kTailCollective] != 0};
    rounds(merge, BlockScope{}, state, 0);
}

}  // namespace

// The tail is a kernel of its own, so that several streams can run it at the same time.
#define SUPERPIXEL_MERGE_PARAMETERS                                                                    \
    u32 *counters, u32 capacity, u32 *n, u64 *sum_L, u64 *sum_A, u64 *sum_B, u32 *height, i32 *parent, \
        u64 *best, u64 *tie, u64 *edge_keys, u32 *edge_len, u64 *edge_cs, u64 *word, u64 *table_key,   \
        u32 *table_len, u64 *table_cs, int4 *records, u32 *choosers, double k4, double cell_area,      \
        u64 *importance
#define SUPERPIXEL_MERGE                                                                                 \
    {                                                                                                    \
        counters, {n, sum_L, sum_A, sum_B, importance, height, parent, best, tie},                       \
            {edge_keys, edge_len, edge_cs}, word, {table_key, table_len, table_cs}, records, choosers, { \
            k4, cell_area                                                                                \
        }                                                                                                \
    }

extern "C" __global__ void __launch_bounds__(1024) merge_rounds(SUPERPIXEL_MERGE_PARAMETERS, u32 tail_edges) {
    merge_together(Merge<false> SUPERPIXEL_MERGE, capacity, tail_edges);
}
extern "C" __global__ void __launch_bounds__(1024) merge_tail(SUPERPIXEL_MERGE_PARAMETERS) {
    merge_alone(Merge<false> SUPERPIXEL_MERGE, capacity);
}
extern "C" __global__ void __launch_bounds__(kImportanceThreads)
    merge_rounds_by_importance(SUPERPIXEL_MERGE_PARAMETERS, u32 tail_edges) {
    merge_together(Merge<true> SUPERPIXEL_MERGE, capacity, tail_edges);
}
extern "C" __global__ void __launch_bounds__(1024) merge_tail_by_importance(SUPERPIXEL_MERGE_PARAMETERS) {
    merge_alone(Merge<true> SUPERPIXEL_MERGE, capacity);
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
// number of records of the other run that precede it.
extern "C" __global__ void merge_sort_runs(const u32* counters, u32 capacity, u32 run,
                                           const int4* __restrict__ from, int4* to) {
    if (counters[kRegions] > capacity) return;
    const i64 i = thread_rank();
    const i64 count = counters[kRecords];
    if (i >= count || run >= count) return;
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
