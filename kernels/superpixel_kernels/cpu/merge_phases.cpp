#include "merge_phases.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "merge_choice.h"
#include "union_find.h"

namespace superpixel {
namespace {

constexpr i64 kNodesPerTask = 16384;
// Live regions move to the first slots if fewer than this share of the slots is live.
constexpr double kFewLive = 0.6;

RegionMean mean_of(const RegionSums& sums) { return region_mean(sums.n, sums.L, sums.A, sums.B); }

// `yes` if the condition holds, else `no`. Compilers turn the conditional operator into branches, and here
// the conditions are unpredictable.
u64 select(bool condition, u64 yes, u64 no) {
    return no ^ ((no ^ yes) & (u64{0} - static_cast<u64>(condition)));
}
i32 select(bool condition, i32 yes, i32 no) { return no ^ ((no ^ yes) & -static_cast<i32>(condition)); }

}  // namespace

MergePhases::MergePhases(Workspace& workspace, i64 nodes, i64 edge_count, CostParams params, bool weighted)
    : simd_(workspace.simd),
      scratch_(workspace.memory.merge),
      frugal_(workspace.kept_bytes == 0),
      spent_edges_(frugal_ ? &workspace.memory.edges : nullptr),
      params_(params),
      slots_(nodes),
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
    is_live_ = scratch_.live.need(nodes);
    root_ = scratch_.root.need(nodes);
    rank_ = scratch_.rank.need(nodes);
    new_id_ = scratch_.new_id.need(nodes);
    workspace.pool.each((nodes + kNodesPerTask - 1) / kNodesPerTask, [&](i64 task) {
        const i64 end = std::min(nodes, (task + 1) * kNodesPerTask);
        for (i64 i = task * kNodesPerTask; i < end; ++i) {
            means_[i] = mean_of(sums_[0][i]);
            identity_[0][i] = static_cast<i32>(i);
            height_[0][i] = 0.0f;
            is_live_[i] = 1;
        }
    });
}

void MergePhases::restart(i64 edge_count) {
    close_gaps();
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

void MergePhases::close_gaps() {
    i64 next = 0;
    for (i64 i = 0; i < slots_; ++i) {
        if (is_live_[i] == 0) continue;
        sums_[side_][next] = sums_[side_][i];
        means_[next] = means_[i];
        identity_[side_][next] = identity_[side_][i];
        if (weights_[0] != nullptr) weights_[side_][next] = weights_[side_][i];
        ++next;
    }
    std::fill_n(is_live_, live_, static_cast<unsigned char>(1));
    slots_ = live_;
}

void MergePhases::contract_and_choose(i32 rank) {
    contract(rank);
    choose(range(rank));
}

void MergePhases::begin(MergeRange& part) {
    part.marker.need(slots_);
    part.stale_count = part.edge_count;
    i32* const stale = part.stale.need(part.edge_count + 1);
    std::iota(stale, stale + part.edge_count, 0);
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
        part.end = t + 1 == count || end == edges_left_ ? static_cast<i32>(slots_) : edges[end].a;
        part.edge_count = end - next;
        next = end;
    }
}

MergePhases::Phase MergePhases::finish(Phase phase) {
    if (phase == kUnite) {
        merges_ = 0;
        for (i32 t = 0; t < count_; ++t) merges_ += range(t).merges;
        renumbers_ = static_cast<double>(live_ - merges_) < kFewLive * static_cast<double>(slots_);
        i32 next = 0;
        for (i32 t = 0; t < count_; ++t) {
            MergeRange& part = range(t);
            part.new_begin = renumbers_ ? next : part.begin;
            part.new_end = renumbers_ ? next + part.roots : part.end;
            next += part.roots;
        }
        return renumbers_ ? kRenumber : kRelabel;
    }
    if (phase == kRelabel) {
        live_before_ = live_;
        live_ -= merges_;
        if (renumbers_) {
            slots_ = live_;
            side_ = 1 - side_;
        }
        ++round_;
    } else if (phase == kChoose) {
        edges_left_ = 0;
        for (i32 t = 0; t < count_; ++t) edges_left_ += range(t).edge_count;
        // The ranges have copies of their own now.
        if (round_ > 0 && spent_edges_ != nullptr) *std::exchange(spent_edges_, nullptr) = Buffer<Edge>();
        return kChooseCrossing;
    }
    return static_cast<Phase>(phase + 1);
}

bool MergePhases::comes_before(i32 region, i32 p, i32 q) const {
    // Slots have the order of identities.
    const auto ends = [&](i32 other) { return std::pair(std::min(region, other), std::max(region, other)); };
    const auto hash = [&](i32 other) {
        const auto [a, b] = ends(other);
        return edge_hash(static_cast<u32>(identity_[side_][a]), static_cast<u32>(identity_[side_][b]));
    };
    return std::pair(hash(p), ends(p)) < std::pair(hash(q), ends(q));
}

u64 MergePhases::lesser(i32 region, u64 p, u64 q) const {
    if ((p ^ q) >> 32 == 0) [[unlikely]]
        return comes_before(region, other_of(p), other_of(q)) ? p : q;
    return std::min(p, q);
}

void MergePhases::choose(MergeRange& part) {
    std::fill(best_ + part.begin, best_ + part.end, kNoChoice);
    part.crossing.clear();
    constexpr i64 kBlock = 256;  // costs stay in the nearest cache until they are compared
    const i32* const stale = part.stale.data();
    // Edges are sorted by a, so all edges to a region come before its own group. During the group its choice
    // stays in a register: a load would wait for the store just before it.
    i32 region = -1;
    u64 choice = 0;
    u64* const best = best_;
    Edge* const edges = part.edges;
    const i32 range_end = part.end;
    i64 begin = 0;
    for (i64 done = 0; begin < part.edge_count;) {
        const i64 count = std::min(kBlock, part.stale_count - done);
        if (weights_[0] == nullptr) {
            simd_.edge_costs(edges, stale + done, count, means_, params_);
        } else {
            simd_.weighted_edge_costs(edges, stale + done, count, means_, weights_[side_], params_);
        }
        done += count;
        const i64 end = done < part.stale_count ? stale[done] : part.edge_count;
        for (; begin < end; ++begin) {
            const i32 a = edges[begin].a;
            const i32 b = edges[begin].b;
            const u32 cost = edges[begin].cost;
            choice = select(a == region, choice, best[a]);
            region = a;
            choice = lesser(a, choice_of(cost, b), choice);
            best[a] = choice;
            if (b < range_end) {
                best[b] = lesser(b, choice_of(cost, a), best[b]);
            } else {
                part.crossing.push_back({cost, a, b});
            }
        }
    }
}

void MergePhases::choose_crossing(const MergeRange& part) {
    for (i32 t = 0; t < count_; ++t) {
        for (const MergeRange::Crossing& from : range(t).crossing) {
            if (from.b >= part.begin && from.b < part.end)
                best_[from.b] = lesser(from.b, choice_of(from.cost, from.a), best_[from.b]);
        }
    }
}

MergeRecord MergePhases::record_of(u64 best, i32 a, i32 b) const {
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
    means_[a] = mean_of(sums[a]);
    if (weights_[0] != nullptr) weights_[side_][a] += weights_[side_][b];
    height_[side_][a] = std::max({height_[side_][a], height_[side_][b], height});
}

void MergePhases::unite_reciprocal(MergeRange& part) {
    // Which regions merge is unpredictable, so the pairs are listed without a branch, then merged.
    i32* const pairs = part.pairs.need(part.end - part.begin + 1);
    i64 count = 0;
    i32 rank = 0;
    for (i32 i = part.begin; i < part.end; ++i) {
        const i32 other = other_of(best_[i]);
        // A region without edges has "chosen" region 0, which never makes a mutual choice with it: region 0
        // has chosen another region, or has no edges and has "chosen" itself.
        const bool mutual = other_of(best_[other]) == i;
        const bool absorbed = mutual & (other < i);
        pairs[count] = i;
        count += static_cast<i32>(mutual & (other > i));
        root_[i] = with_sign(select(absorbed, other, i), mutual);
        rank_[i] = rank;
        is_live_[i] &= static_cast<unsigned char>(!absorbed);
        rank += is_live_[i];
    }
    for (i64 i = 0; i < count; ++i) {
        const i32 a = pairs[i];
        const i32 b = other_of(best_[a]);
        const MergeRecord record = record_of(best_[a], a, b);
        part.records.push_back(record);
        absorb(a, b, record.height);
    }
    part.merges = count;
    part.roots = rank;
}

void MergePhases::unite_collective() {
    for (i32 i = 0; i < slots_; ++i) root_[i] = i;
    std::vector<MergeRecord>& records = range(0).records;
    const auto first = static_cast<std::ptrdiff_t>(records.size());
    std::vector<std::pair<i32, i32>> pairs;
    for (i32 i = 0; i < slots_; ++i) {
        if (!is_edge(best_[i])) continue;
        const i32 other = other_of(best_[i]);
        // An edge that both ends chose is recorded at the smaller one.
        if (other < i && other_of(best_[other]) == i) continue;
        pairs.push_back(std::minmax(i, other));
        records.push_back(record_of(best_[i], pairs.back().first, pairs.back().second));
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
            // Enough: smaller regions already point at their roots.
            const i32 root = without_sign(root_[without_sign(root_[i])]);
            root_[i] = root;
            if (root != i) {
                root_[i] = with_sign(root, true);
                root_[root] = with_sign(root, true);
                is_live_[i] = 0;
            }
            rank_[i] = part.roots;
            part.roots += is_live_[i];
        }
    }
}

void MergePhases::renumber(i32 rank) {
    MergeRange& part = range(rank);
    const int side = 1 - side_;
    i32 next = part.new_begin;
    for (i32 i = part.begin; i < part.end; ++i) {
        const i32 root = without_sign(root_[i]);
        i32 owner = rank;  // a root is in this range or in an earlier one, because it is the smaller region
        while (root < range(owner).begin) --owner;
        new_id_[i] = with_sign(range(owner).new_begin + rank_[root], root_[i] < 0);
        // Which regions remain is unpredictable, so each is copied; the next one overwrites an absorbed one.
        if (next == part.new_end) continue;
        sums_[side][next] = sums_[side_][i];
        means_[next] = mean_of(sums_[side_][i]);
        identity_[side][next] = identity_[side_][i];
        height_[side][next] = height_[side_][i];
        next += is_live_[i];
    }
    if (weights_[0] == nullptr) return;
    next = part.new_begin;
    for (i32 i = part.begin; i < part.end && next < part.new_end; ++i) {
        weights_[side][next] = weights_[side_][i];
        next += is_live_[i];
    }
}

void MergePhases::relabel(MergeRange& part) {
    for (std::vector<Edge>& box : part.outbox) box.clear();
    const i32 begin = part.new_begin, end = part.new_end;
    if (renumbers_) std::fill(is_live_ + begin, is_live_ + end, static_cast<unsigned char>(1));
    const i32* const new_ids = renumbers_ ? new_id_ : root_;
    // bucket[i]: how many edges have the smaller end begin + i. The last counts the edges that are dropped.
    i32* const bucket = part.bucket.need(end - begin + 1);
    std::fill(bucket, bucket + (end - begin + 1), 0);
    for (i64 i = 0; i < part.edge_count; ++i) {
        Edge& edge = part.edges[i];
        const i32 id_a = new_ids[edge.a];
        const i32 id_b = new_ids[edge.b];
        const i32 p = without_sign(id_a);
        const i32 q = without_sign(id_b);
        const i32 smaller = std::min(p, q);
        edge.a = select(p == q, end, smaller);
        edge.b = std::max(p, q);
        edge.cost |= static_cast<u32>(id_a | id_b) & Edge::kStale;
        if (smaller < begin || smaller >= end) [[unlikely]] {
            i32 owner = 0;
            while (smaller >= range(owner).new_end) ++owner;
            if (p != q) part.outbox[static_cast<size_t>(owner)].push_back(edge);
            edge.a = end;
        }
        ++bucket[edge.a - begin];
    }
}

void MergePhases::contract(i32 rank) {
    MergeRange& part = range(rank);
    const i32 begin = part.new_begin, end = part.new_end;
    i32* const bucket = part.bucket.data();
    std::vector<Edge>& received = part.received;
    received.clear();
    for (i32 t = 0; t < count_; ++t) {
        const std::vector<Edge>& from = range(t).outbox[static_cast<size_t>(rank)];
        received.insert(received.end(), from.begin(), from.end());
    }
    for (const Edge& edge : received) ++bucket[edge.a - begin];
    // `order`: the edges by their smaller ends. In place of those that were read come the stale ones.
    i32 next = 0;
    for (i32 i = 0; i < end - begin; ++i) next += std::exchange(bucket[i], next);
    const i64 total = next;
    bucket[end - begin] = next;
    const i64 own = part.edge_count;
    const i64 all = own + static_cast<i64>(received.size());
    i32* const order = part.stale.need(all + 1);
    i32* const stale = order;
    for (i64 i = 0; i < own; ++i) order[bucket[part.edges[i].a - begin]++] = static_cast<i32>(i);
    for (i64 i = own; i < all; ++i) {
        const Edge& edge = received[static_cast<size_t>(i - own)];
        order[bucket[edge.a - begin]++] = static_cast<i32>(i);
    }

    // marker[b]: the a of the last edge to b, and where it is in `out`. Joins are unpredictable: no branch.
    // An edge that is alone is joined with one that adds nothing.
    Buffer<Edge>& storage = part.storage[part.next_storage];
    Edge* const out = frugal_ ? storage.fit(total + 1) : storage.need(total + 1);
    part.next_storage = 1 - part.next_storage;
    const Edge* const own_edges = part.edges;
    u64* const marker = part.marker.data();
    std::fill(marker + begin, marker + slots_, ~u64{0});
    const i32 nothing = static_cast<i32>(total);
    out[nothing] = Edge(0, 0, 0, 0.0);
    i32 count = 0;
    i64 stale_count = 0;
    for (i64 i = 0; i < total; ++i) {
        const i64 from = order[i];
        const Edge* const edge = from < own ? own_edges + from : received.data() + (from - own);
        const i32 a = edge->a, b = edge->b;
        const u32 cost = edge->cost;
        const u64 marked = marker[b];
        const i32 same = -static_cast<i32>(static_cast<i32>(marked >> 32) == a);  // all bits, or none
        const i32 to = count ^ ((count ^ other_of(marked)) & same);
        marker[b] = choice_of(static_cast<u32>(a), to);
        const Edge& joined = out[nothing ^ ((nothing ^ to) & same)];
        const i32 len = edge->len + joined.len;
        const double cs = edge->cs + joined.cs;
        out[to].a = a;
        out[to].b = b;
        out[to].len = len;
        out[to].cost = cost;
        out[to].cs = cs;
        stale[stale_count] = to;
        stale_count += static_cast<i32>(cost >> 31) & ~same;
        count += 1 + same;
    }
    part.edges = out;
    part.edge_count = count;
    part.stale_count = stale_count;
    part.begin = begin;
    part.end = end;
}

}  // namespace superpixel
