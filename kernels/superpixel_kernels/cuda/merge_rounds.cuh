// The rounds of the merge. The threads of one block can do them, or those of all blocks of a cooperative
// launch.
//
// The list of edges always has its words (cost and hash), and `best` the least word of each region. A round
// has three phases, each over a list that the phase before has completed:
//   unite     edges     those chosen by both ends (collective round: by at least one) become records
//   relabel   edges     get their new ends and go into the table, which joins equal pairs
//   choose    table     is moved to the list of edges, and cleared; each edge gets its word
// If a region has two edges with the least word, another phase settles which of them has the least pair of
// regions.
#pragma once

#include "edge_table.cuh"
#include "nodes.cuh"
#include "superpixel/guidance.h"
#include "superpixel/merge.h"

namespace superpixel {

constexpr u64 kNoWord = ~0ull;

// Which ends of an edge chose it. The edge is recorded once in either case.
enum Chooser : u32 { kChosenByA = 1, kChosenByB = 2 };

// By identity: the region's number in the base labels.
struct Regions {
    Node* nodes;
    u64* importance;  // with an importance map: the sum of its values
    i32* parent;      // the region itself; after a merge, the region that it was merged into
    u64* tie;
};

// kImportance: with an importance map. kDense: the regions that are left have places of their own in the
// arrays `best` and `into`; otherwise a region's place is its identity.
template <bool kImportance, bool kDense>
struct Merge {
    u32* counters;
    Regions regions;
    u64* best;            // by place: the least word of the region's edges
    i32* into;            // by place: the place of the region that it was merged into in this round
    const i32* identity;  // by place, if kDense
    Edges edges;          // keys are pairs of places; the region with the lesser identity comes first
    u64* word;            // of each edge
    Edges table;
    int4* records;  // height's bits, round, a, b
    u32* choosers;  // of each record of a collective round
    CostParams params;

    __device__ i32 identity_of(i32 place) const {
        if constexpr (kDense) return identity[place];
        return place;
    }
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
            while (load(arrived) < goal) __nanosleep(20);
            __threadfence();
        }
        __syncthreads();
    }
};

SUPERPIXEL_DEVICE RegionMean mean_of(const Node& node) {
    return region_mean(static_cast<double>(node.n), static_cast<double>(node.sum_L),
                       static_cast<double>(node.sum_A), static_cast<double>(node.sum_B));
}

// a, b: identities.
template <bool kImportance>
SUPERPIXEL_DEVICE float cost_of(const Regions& r, i32 a, i32 b, u32 len, u64 cs, CostParams params) {
    const double sides = static_cast<double>(len);
    const double contrast = static_cast<double>(cs);
    const Node node_a = r.nodes[a];
    const Node node_b = r.nodes[b];
    if constexpr (kImportance) {
        const double weight_a =
            importance_weight(static_cast<i64>(node_a.n), static_cast<i64>(r.importance[a]));
        const double weight_b =
            importance_weight(static_cast<i64>(node_b.n), static_cast<i64>(r.importance[b]));
        return edge_cost_at_size(mean_of(node_a), mean_of(node_b), half_harmonic_mean(weight_a, weight_b),
                                 sides, contrast, params);
    } else {
        return edge_cost(mean_of(node_a), mean_of(node_b), sides, contrast, params);
    }
}

// What kTied is set to if regions have several edges with the least word in this round.
SUPERPIXEL_DEVICE u32 tie_mark(const u32* counters, i32 round) {
    return (static_cast<u32>(round) + 1) | counters[kMark];
}

// Computes the edge's word for a round, and lets both ends choose.
template <bool kImportance, bool kDense>
SUPERPIXEL_DEVICE u64 choose(const Merge<kImportance, kDense>& m, i32 round, u64 key, u32 len, u64 cs) {
    const i32 a = edge_a(key);
    const i32 b = edge_b(key);
    const i32 region_a = m.identity_of(a);
    const i32 region_b = m.identity_of(b);
    const u32 cost = __float_as_uint(cost_of<kImportance>(m.regions, region_a, region_b, len, cs, m.params));
    const u64 word = edge_word(cost, edge_hash(static_cast<u32>(region_a), static_cast<u32>(region_b)));
    const u64 best_a = atomicMin(m.best + a, word);
    const u64 best_b = atomicMin(m.best + b, word);
    // Of two edges with the least word of a region, the later one finds the word of the earlier one.
    if (best_a == word || best_b == word) store(m.counters + kTied, tie_mark(m.counters, round));
    return word;
}

// Among the edges that have the least word of a region, finds the one with the least pair of regions.
template <bool kImportance, bool kDense, class Scope>
SUPERPIXEL_DEVICE void settle_ties(const Merge<kImportance, kDense>& m, Scope scope, u32 edges) {
    const auto each = [&](auto&& body) {
        for (u32 i = scope.rank(); i < edges; i += scope.size()) {
            const u64 key = m.edges.key[i];
            const i32 a = edge_a(key);
            const i32 b = edge_b(key);
            body(i, a, m.identity_of(a), m.identity_of(a), m.identity_of(b));
            body(i, b, m.identity_of(b), m.identity_of(a), m.identity_of(b));
        }
        scope.sync();
    };
    // Several threads may write the same value here.
    each([&](u32, i32, i32 region, i32, i32) { store(m.regions.tie + region, kNoWord); });
    each([&](u32 edge, i32 place, i32 region, i32 a, i32 b) {
        if (m.best[place] == m.word[edge]) atomicMin(m.regions.tie + region, edge_key(a, b));
    });
}

// The choosers of a record, and with kDense the places of its two regions.
constexpr u32 kPlaceBits = 10;
SUPERPIXEL_DEVICE u32 packed_choosers(u32 choosers, i32 a, i32 b) {
    return choosers | static_cast<u32>(a) << 2 | static_cast<u32>(b) << (2 + kPlaceBits);
}

// All lanes of a warp must call it.
template <bool kImportance, bool kDense>
SUPERPIXEL_DEVICE void unite_ends(const Merge<kImportance, kDense>& m, u32 edge, bool inside, i32 round,
                                  bool collective, bool tied) {
    i32 a = 0;
    i32 b = 0;
    i32 region_a = 0;
    i32 region_b = 0;
    u64 word = 0;
    u32 choosers = 0;
    if (inside) {
        const u64 key = m.edges.key[edge];
        word = m.word[edge];
        a = edge_a(key);
        b = edge_b(key);
        region_a = m.identity_of(a);
        region_b = m.identity_of(b);
        choosers = (m.best[a] == word ? kChosenByA : 0u) | (m.best[b] == word ? kChosenByB : 0u);
        if (tied) {
            const u64 pair = edge_key(region_a, region_b);
            if (m.regions.tie[region_a] != pair) choosers &= ~static_cast<u32>(kChosenByA);
            if (m.regions.tie[region_b] != pair) choosers &= ~static_cast<u32>(kChosenByB);
        }
    }
    const bool both = choosers == (kChosenByA | kChosenByB);
    const bool merges = collective ? choosers != 0 : both;
    const Regions& r = m.regions;
    Node node_a{};
    Node node_b{};
    if (merges) {
        node_a = r.nodes[region_a];
        node_b = r.nodes[region_b];
    }
    const u32 at = append(m.counters + kRecords, merges);
    if (!merges) return;
    const u32 height = max(static_cast<u32>(word >> 32), max(node_a.height, node_b.height));
    m.records[at] =
        int4{static_cast<i32>(height), round | static_cast<i32>(m.counters[kMark]), region_a, region_b};
    if (collective) {
        m.choosers[at] = kDense ? packed_choosers(choosers, a, b) : choosers;
        // Every region that chose points at its choice, except the smaller end of a mutual choice. The key is
        // a strict total order, so the choices of a set form a tree whose root is that smaller end.
        if (choosers & kChosenByB) {
            m.into[b] = a;
        } else {
            m.into[a] = b;
        }
    } else {
        // No other edge is a mutual choice of one of these ends, so no other thread uses the two nodes.
        m.into[b] = a;
        if constexpr (kDense) r.parent[region_b] = region_a;
        r.nodes[region_a] = Node{node_a.sum_L + node_b.sum_L, node_a.sum_A + node_b.sum_A,
                                 node_a.sum_B + node_b.sum_B, node_a.n + node_b.n, height};
        if constexpr (kImportance) r.importance[region_a] += r.importance[region_b];
    }
}

// Calls body(place) for each region that chose the record's edge. Over all records of a collective round
// these are all members of all new sets, each once.
template <bool kImportance, bool kDense, class F>
SUPERPIXEL_DEVICE void each_chooser(const Merge<kImportance, kDense>& m, u32 record, F&& body) {
    const u32 choosers = m.choosers[record];
    i32 a = static_cast<i32>(choosers >> 2 & ((1u << kPlaceBits) - 1));
    i32 b = static_cast<i32>(choosers >> (2 + kPlaceBits));
    if constexpr (!kDense) {
        const int4 merged = m.records[record];
        a = merged.z;
        b = merged.w;
    }
    if (choosers & kChosenByA) body(a);
    if (choosers & kChosenByB) body(b);
}

// After a collective round, choices form trees of any depth, and a root need not be the smallest member.
// Points every region at the smallest member of its set. `best` serves as scratch: it has words of positive
// costs, which are larger than any pair of an identity and a place.
template <bool kImportance, bool kDense, class Scope>
SUPERPIXEL_DEVICE void name_sets(const Merge<kImportance, kDense>& m, Scope scope, u32 begin, u32 end) {
    const auto each = [&](auto&& body) {
        for (u32 i = begin + scope.rank(); i < end; i += scope.size()) each_chooser(m, i, body);
        scope.sync();
    };
    i32* const into = m.into;
    u64* const least = m.best;
    // Pointer jumping halves all depths (Wyllie 1979). A set has at most twice as many members as there are
    // new records.
    for (u32 depth = 2 * (end - begin); depth > 1; depth = (depth + 1) / 2) {
        each([&](i32 place) { store(into + place, load(into + load(into + place))); });
    }
    each([&](i32 place) { atomicMin(least + into[place], edge_key(m.identity_of(place), place)); });
    each([&](i32 place) { into[place] = edge_b(least[into[place]]); });
}

// Adds sums and heights of the members of a collective round's sets to the regions that remain.
template <bool kImportance, bool kDense>
SUPERPIXEL_DEVICE void absorb(const Merge<kImportance, kDense>& m, u32 record) {
    const u32 height = static_cast<u32>(m.records[record].x);
    each_chooser(m, record, [&](i32 place) {
        const Regions& r = m.regions;
        const i32 region = m.identity_of(place);
        const i32 into = m.identity_of(m.into[place]);
        // A record's height includes the heights of the two regions it joins.
        Node* const node = r.nodes + into;
        atomicMax(&node->height, height);
        if (into == region) return;
        if constexpr (kDense) r.parent[region] = into;
        atomicAdd(&node->n, r.nodes[region].n);
        atomicAdd(&node->sum_L, r.nodes[region].sum_L);
        atomicAdd(&node->sum_A, r.nodes[region].sum_A);
        atomicAdd(&node->sum_B, r.nodes[region].sum_B);
        if constexpr (kImportance) atomicAdd(r.importance + into, r.importance[region]);
    });
}

template <bool kImportance, bool kDense>
SUPERPIXEL_DEVICE void relabel(const Merge<kImportance, kDense>& m, u32 edge, u32 mask) {
    const u64 key = m.edges.key[edge];
    const i32 p = m.into[edge_a(key)];
    const i32 q = m.into[edge_b(key)];
    if (p == q) return;
    // For the next round. Several threads may write the same value here.
    store(m.best + p, kNoWord);
    store(m.best + q, kNoWord);
    const bool in_order = m.identity_of(p) < m.identity_of(q);
    add_edge(m.table, mask, in_order ? edge_key(p, q) : edge_key(q, p), m.edges.len[edge], m.edges.cs[edge]);
}

// Moves all edges from the table to the list, as drain_slots. The words are computed while the edges' places
// are on their way.
template <bool kImportance, bool kDense, class Scope>
SUPERPIXEL_DEVICE void choose_next(const Merge<kImportance, kDense>& m, Scope scope, i32 round, u32 slots,
                                   u32* count) {
    const u32 stride = scope.size();
    for (u32 first = scope.rank(); first < slots; first += kSlotsAThread * stride) {
        u64 keys[kSlotsAThread];
        u32 len[kSlotsAThread];
        u64 cs[kSlotsAThread];
        u64 words[kSlotsAThread];
        u32 used = 0;
        for (u32 i = 0; i < kSlotsAThread; ++i) {
            const u32 slot = first + i * stride;
            keys[i] = slot < slots ? m.table.key[slot] : kNoKey;
            used += keys[i] != kNoKey ? 1 : 0;
        }
        const Places places = reserve(count, used);
        for (u32 i = 0; i < kSlotsAThread; ++i) {
            if (keys[i] == kNoKey) continue;
            const u32 slot = first + i * stride;
            len[i] = m.table.len[slot];
            cs[i] = m.table.cs[slot];
            words[i] = choose(m, round, keys[i], len[i], cs[i]);
            m.table.put(slot, kNoKey, 0, 0);
        }
        u32 at = places.first();
        for (u32 i = 0; i < kSlotsAThread; ++i) {
            if (keys[i] == kNoKey) continue;
            m.edges.put(at, keys[i], len[i], cs[i]);
            m.word[at++] = words[i];
        }
    }
}

struct RoundState {
    i32 round;
    u32 records;
    bool collective;  // whether this round is
};

// The counter of the edges of a round.
SUPERPIXEL_DEVICE Counter edges_of_round(i32 round) { return round % 2 == 0 ? kEdges : kEdgesOther; }

// The first choice: from then on each round makes the choice for the next one.
template <bool kImportance, bool kDense, class Scope>
SUPERPIXEL_DEVICE void choose_first(const Merge<kImportance, kDense>& m, Scope scope) {
    const u32 edges = m.counters[kEdges];
    for (u32 i = scope.rank(); i < edges; i += scope.size()) {
        m.word[i] = choose(m, 0, m.edges.key[i], m.edges.len[i], m.edges.cs[i]);
    }
    scope.sync();
}

// Rounds until at most `enough` edges are left.
template <bool kImportance, bool kDense, class Scope>
SUPERPIXEL_DEVICE void rounds(const Merge<kImportance, kDense>& m, Scope scope, RoundState& state,
                              u32 enough) {
    while (true) {
        u32* const next_count = m.counters + edges_of_round(state.round + 1);
        const u32 edges = m.counters[edges_of_round(state.round)];
        if (edges <= enough) return;
        const bool tied = load(m.counters + kTied) == tie_mark(m.counters, state.round);
        if (tied) settle_ties(m, scope, edges);
        if (scope.rank() == 0) *next_count = 0;
        const u32 whole_warps = (edges + kWarp - 1) / kWarp * kWarp;
        for (u32 i = scope.rank(); i < whole_warps; i += scope.size()) {
            unite_ends(m, i, i < edges, state.round, state.collective, tied);
        }
        scope.sync();
        const u32 records = m.counters[kRecords];
        if (state.collective) {
            name_sets(m, scope, state.records, records);
            for (u32 i = state.records + scope.rank(); i < records; i += scope.size()) absorb(m, i);
        }
        const u32 slots = table_slots(edges);
        for (u32 i = scope.rank(); i < edges; i += scope.size()) relabel(m, i, slots - 1);
        scope.sync();
        ++state.round;
        choose_next(m, scope, state.round, slots, next_count);
        state.collective =
            collective_round(state.round, records - state.records, m.counters[kRegions] - state.records);
        state.records = records;
        if (scope.rank() == 0) m.counters[kRounds] = static_cast<u32>(state.round);
        scope.sync();
    }
}

}  // namespace superpixel
