#include "merge_phases.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "union_find.h"

namespace superpixel {
namespace {

constexpr u64 kNoWord = ~u64{0};
constexpr i64 kNodesPerTask = 16384;

RegionMean mean_of(const RegionSums& sums) { return region_mean(sums.n, sums.L, sums.A, sums.B); }

// The key of the edge (node, other) after cost and hash: its ends, smaller first. Ranks have the order of
// identities.
u64 ends(i32 node, i32 other) {
    return (static_cast<u64>(std::min(node, other)) << 32) | static_cast<u64>(std::max(node, other));
}

// `yes` if the condition holds, else `no`. Compilers turn the conditional operator into branches, and here
// the conditions are unpredictable.
u64 select(bool condition, u64 yes, u64 no) {
    return no ^ ((no ^ yes) & (u64{0} - static_cast<u64>(condition)));
}
i32 select(bool condition, i32 yes, i32 no) { return no ^ ((no ^ yes) & -static_cast<i32>(condition)); }

// Makes (word, other) the choice of the region if it is less than the present one. Equal words are very rare.
void consider(Best& best, i32 node, u64 word, i32 other) {
    const bool less = word < best.word;
    if (word == best.word && ends(node, other) < ends(node, best.other)) [[unlikely]] {
        best.other = other;
    }
    best.word = select(less, word, best.word);
    best.other = select(less, other, best.other);
}

float cost_of(const Best& best) { return std::bit_cast<float>(static_cast<u32>(best.word >> 32)); }

}  // namespace

MergePhases::MergePhases(Workspace& workspace, i64 nodes, i64 edge_count, CostParams params, bool weighted)
    : simd_(workspace.simd),
      scratch_(workspace.memory.merge),
      frugal_(workspace.kept_bytes == 0),
      spent_edges_(frugal_ ? &workspace.memory.edges : nullptr),
      params_(params),
      live_(nodes),
      edges_left_(edge_count) {
    for (int side = 0; side < 2; ++side) {
        sums_[side] = scratch_.sums[side].grow(nodes);
        identity_[side] = scratch_.identity[side].need(nodes);
        height_[side] = scratch_.height[side].need(nodes);
        if (weighted) weights_[side] = scratch_.weights[side].grow(nodes);
    }
    means_ = scratch_.means.need(nodes);
    best_ = scratch_.best.need(nodes);
    root_ = scratch_.root.need(nodes);
    rank_ = scratch_.rank.need(nodes);
    new_id_ = scratch_.new_id.need(nodes);
    workspace.pool.each((nodes + kNodesPerTask - 1) / kNodesPerTask, [&](i64 task) {
        const i64 end = std::min(nodes, (task + 1) * kNodesPerTask);
        for (i64 i = task * kNodesPerTask; i < end; ++i) {
            means_[i] = mean_of(sums_[0][i]);
            identity_[0][i] = static_cast<i32>(i);
            height_[0][i] = 0.0f;
        }
    });
}

void MergePhases::restart(i64 edge_count) {
    std::fill_n(height_[side_], live_, 0.0f);
    edges_left_ = edge_count;
    round_ = 0;
}

void MergePhases::end_rounds() {
    if (!frugal_) return;
    for (MergeRange& part : scratch_.ranges) {
        for (Buffer<Edge>& storage : part.storage) storage = Buffer<Edge>();
    }
}

void MergePhases::contract_and_choose(i32 rank) {
    contract(rank);
    choose(range(rank));
}

void MergePhases::begin(MergeRange& part) {
    std::fill_n(part.marker.need(live_), live_, 0);
    choose(part);
}

void MergePhases::split(i32 count, Edge* edges) {
    count_ = count;
    if (scratch_.ranges.size() < static_cast<size_t>(count))
        scratch_.ranges.resize(static_cast<size_t>(count));
    i64 next = 0;
    for (i32 t = 0; t < count; ++t) {
        MergeRange& part = range(t);
        part.outbox.resize(static_cast<size_t>(count));
        part.records.clear();  // a cancelled call leaves some
        part.next_storage = 0;
        part.edges = edges + next;
        part.begin = t == 0 ? 0 : range(t - 1).end;
        i64 end = edges_left_ * (t + 1) / count;
        while (end > next && end < edges_left_ && edges[end].a == edges[end - 1].a) ++end;
        end = std::max(end, next);
        part.end = t + 1 == count || end == edges_left_ ? static_cast<i32>(live_) : edges[end].a;
        part.edge_count = end - next;
        next = end;
    }
}

void MergePhases::finish(Phase phase) {
    if (phase == kUnite) {
        merges_ = 0;
        i32 next = 0;
        for (i32 t = 0; t < count_; ++t) {
            merges_ += range(t).merges;
            range(t).new_begin = next;
            next = range(t).new_end = next + range(t).roots;
        }
    } else if (phase == kRelabel) {
        live_before_ = live_;
        live_ -= merges_;
        side_ = 1 - side_;
        ++round_;
    } else if (phase == kChoose) {
        edges_left_ = 0;
        for (i32 t = 0; t < count_; ++t) edges_left_ += range(t).edge_count;
        // The ranges have copies of their own now.
        if (round_ > 0 && spent_edges_ != nullptr) *std::exchange(spent_edges_, nullptr) = Buffer<Edge>();
    }
}

void MergePhases::choose(MergeRange& part) {
    std::fill(best_ + part.begin, best_ + part.end, Best{kNoWord, 0});
    part.crossing.clear();
    u64 words[kCostBlock];
    // Edges are sorted by a, so all edges to a region come before its own group. During the group its choice
    // stays in a register: a load would wait for the store just before it.
    i32 node = -1;
    Best best{};
    for (i64 begin = 0; begin < part.edge_count; begin += kCostBlock) {
        const i32 count = static_cast<i32>(std::min<i64>(kCostBlock, part.edge_count - begin));
        const Edge* const edges = part.edges + begin;
        if (weights_[0] == nullptr) {
            simd_.edge_words(edges, count, means_, identity_[side_], params_, words);
        } else {
            simd_.weighted_edge_words(edges, count, means_, weights_[side_], identity_[side_], params_,
                                      words);
        }
        for (i32 i = 0; i < count; ++i) {
            const Edge& edge = edges[i];
            const Best& stored = best_[edge.a];
            best.word = select(edge.a == node, best.word, stored.word);
            best.other = select(edge.a == node, best.other, stored.other);
            node = edge.a;
            consider(best, node, words[i], edge.b);
            best_[node] = best;
            if (edge.b < part.end) {
                consider(best_[edge.b], edge.b, words[i], edge.a);
            } else {
                part.crossing.push_back({words[i], edge.a, edge.b});
            }
        }
    }
}

void MergePhases::choose_crossing(const MergeRange& part) {
    for (i32 t = 0; t < count_; ++t) {
        for (const MergeRange::Crossing& from : range(t).crossing) {
            if (from.b >= part.begin && from.b < part.end) consider(best_[from.b], from.b, from.word, from.a);
        }
    }
}

MergeRecord MergePhases::record_of(const Best& best, i32 a, i32 b) const {
    const float* const height = height_[side_];
    return {std::max({cost_of(best), height[a], height[b]}), round_, identity_[side_][a],
            identity_[side_][b]};
}

void MergePhases::absorb(i32 a, i32 b, float height) {
    RegionSums* const sums = sums_[side_];
    sums[a].n += sums[b].n;
    sums[a].L += sums[b].L;
    sums[a].A += sums[b].A;
    sums[a].B += sums[b].B;
    if (weights_[0] != nullptr) weights_[side_][a] += weights_[side_][b];
    height_[side_][a] = std::max({height_[side_][a], height_[side_][b], height});
}

void MergePhases::unite_reciprocal(MergeRange& part) {
    // Which regions merge is unpredictable, so the pairs are listed without a branch, then merged.
    i32* const pairs = part.pairs.need(part.end - part.begin + 1);
    i64 count = 0;
    i32 rank = 0;
    for (i32 i = part.begin; i < part.end; ++i) {
        const i32 other = best_[i].other;
        // A region without edges has "chosen" region 0, which never makes a mutual choice with it: region 0
        // has chosen another region, or has no edges and has "chosen" itself.
        const i32 mutual = static_cast<i32>(best_[other].other == i);
        pairs[count] = i;
        count += mutual & static_cast<i32>(other > i);
        const i32 absorbed = mutual & static_cast<i32>(other < i);
        root_[i] = select(absorbed != 0, other, i);
        rank_[i] = rank;
        rank += 1 - absorbed;
    }
    for (i64 i = 0; i < count; ++i) {
        const i32 a = pairs[i];
        const i32 b = best_[a].other;
        const MergeRecord record = record_of(best_[a], a, b);
        part.records.push_back(record);
        absorb(a, b, record.height);
    }
    part.merges = count;
    part.roots = rank;
}

void MergePhases::unite_collective() {
    for (i32 i = 0; i < live_; ++i) root_[i] = i;
    std::vector<MergeRecord>& records = range(0).records;
    const auto first = static_cast<std::ptrdiff_t>(records.size());
    std::vector<std::pair<i32, i32>> pairs;
    for (i32 i = 0; i < live_; ++i) {
        const Best& best = best_[i];
        if (best.word == kNoWord) continue;
        // An edge that both ends chose is recorded at the smaller one.
        if (best.other < i && best_[best.other].other == i) continue;
        pairs.push_back(std::minmax(i, best.other));
        records.push_back(record_of(best, pairs.back().first, pairs.back().second));
    }
    for (size_t i = 0; i < pairs.size(); ++i) {
        const i32 p = find_root(root_, pairs[i].first);
        const i32 q = find_root(root_, pairs[i].second);
        const i32 a = std::min(p, q);
        const i32 b = std::max(p, q);
        absorb(a, b, records[static_cast<size_t>(first) + i].height);
        root_[b] = a;
    }
    std::sort(records.begin() + first, records.end(),
              [](const MergeRecord& p, const MergeRecord& q) { return p.a != q.a ? p.a < q.a : p.b < q.b; });
    for (i32 t = 0; t < count_; ++t) {
        MergeRange& part = range(t);
        part.merges = t == 0 ? static_cast<i64>(pairs.size()) : 0;
        part.roots = 0;
        for (i32 i = part.begin; i < part.end; ++i) {
            root_[i] = root_[root_[i]];  // enough: smaller regions already point at their roots
            rank_[i] = part.roots;
            part.roots += root_[i] == i ? 1 : 0;
        }
    }
}

void MergePhases::renumber(i32 rank) {
    MergeRange& part = range(rank);
    const int side = 1 - side_;
    i32 next = part.new_begin;
    for (i32 i = part.begin; i < part.end; ++i) {
        const i32 root = root_[i];
        i32 owner = rank;  // a root is in this range or in an earlier one, because it is the smaller region
        while (root < range(owner).begin) --owner;
        new_id_[i] = range(owner).new_begin + rank_[root];
        // Which regions remain is unpredictable, so each is copied; the next one overwrites an absorbed one.
        if (next == part.new_end) continue;
        sums_[side][next] = sums_[side_][i];
        means_[next] = mean_of(sums_[side_][i]);
        identity_[side][next] = identity_[side_][i];
        height_[side][next] = height_[side_][i];
        next += static_cast<i32>(root == i);
    }
    if (weights_[0] == nullptr) return;
    next = part.new_begin;
    for (i32 i = part.begin; i < part.end && next < part.new_end; ++i) {
        weights_[side][next] = weights_[side_][i];
        next += static_cast<i32>(root_[i] == i);
    }
}

void MergePhases::relabel(MergeRange& part) {
    for (std::vector<Edge>& box : part.outbox) box.clear();
    i32* const bucket = part.bucket.need(part.new_end - part.new_begin + 1);
    std::fill(bucket, bucket + (part.new_end - part.new_begin + 1), 0);
    i64 kept = 0;
    for (i64 i = 0; i < part.edge_count; ++i) {
        Edge edge = part.edges[i];
        const i32 p = new_id_[edge.a];
        const i32 q = new_id_[edge.b];
        const i32 kept_here = static_cast<i32>(p != q);
        edge.a = std::min(p, q);
        edge.b = std::max(p, q);
        if (edge.a >= part.new_begin && edge.a < part.new_end) {
            bucket[edge.a - part.new_begin] += kept_here;
            part.edges[kept] = edge;
            kept += kept_here;
        } else if (p != q) {
            i32 owner = 0;
            while (edge.a >= range(owner).new_end) ++owner;
            part.outbox[static_cast<size_t>(owner)].push_back(edge);
        }
    }
    part.edge_count = kept;
}

void MergePhases::contract(i32 rank) {
    MergeRange& part = range(rank);
    const i32 nodes = part.new_end - part.new_begin;
    i32* const bucket = part.bucket.data();
    i64 total = part.edge_count;
    const auto each_received = [&](auto&& body) {
        for (i32 t = 0; t < count_; ++t) {
            for (const Edge& edge : range(t).outbox[static_cast<size_t>(rank)]) body(edge);
        }
    };
    each_received([&](const Edge& edge) {
        ++bucket[edge.a - part.new_begin];
        ++total;
    });
    i32 begin = 0;
    for (i32 i = 0; i <= nodes; ++i) begin += std::exchange(bucket[i], begin);
    Buffer<Edge>& storage = part.storage[part.next_storage];
    Edge* const out = frugal_ ? storage.fit(total) : storage.need(total);
    part.next_storage = 1 - part.next_storage;
    const auto place = [&](const Edge& edge) { out[bucket[edge.a - part.new_begin]++] = edge; };
    for (i64 i = 0; i < part.edge_count; ++i) place(part.edges[i]);
    each_received(place);

    // marker[b]: where the last edge to b is in `out`. Values from earlier groups and rounds are left in it;
    // they are recognised, because they do not point at an edge (a, b). Joins are unpredictable: no branch.
    i32* const marker = part.marker.data();
    const u32 last = static_cast<u32>(total - 1);
    i32 count = 0;
    for (i64 from = 0; from < total; ++from) {
        const Edge edge = out[from];
        const i32 at = static_cast<i32>(std::min(static_cast<u32>(marker[edge.b]), last));
        const Edge& there = out[at];
        const i32 same = static_cast<i32>(there.b == edge.b) & static_cast<i32>(there.a == edge.a) &
                         static_cast<i32>(at < count);
        const i32 to = select(same != 0, at, count);
        const u64 cs = select(same != 0, std::bit_cast<u64>(there.cs), u64{0});
        marker[edge.b] = to;
        out[to] = {edge.a, edge.b, edge.len + (there.len & -same), edge.cs + std::bit_cast<double>(cs)};
        count += 1 - same;
    }
    part.edges = out;
    part.edge_count = count;
    part.begin = part.new_begin;
    part.end = part.new_end;
}

}  // namespace superpixel
