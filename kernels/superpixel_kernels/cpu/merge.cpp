// Stage merge: rounds of reciprocal nearest neighbours (and collective rounds where those stall), each in
// parallel over ranges of regions.
#include "superpixel/merge.h"

#include <algorithm>
#include <barrier>
#include <bit>
#include <utility>

#include "engine.h"
#include "superpixel/graph.h"

namespace superpixel {
namespace {

constexpr u64 kNoWord = ~u64{0};
// Below this many edges a round is too short to share.
constexpr i64 kSharedEdges = 8192;
constexpr i64 kNodesPerTask = 16384;

// A live region is known by its rank among the live ones, so arrays stay dense; ranks and identities order
// alike. Every round contracts into fresh arrays: range t owns regions [begin, end) and the edges whose
// smaller region it owns.
class Merger {
  public:
    Merger(Run& run, i64 nodes, i64 edge_count, CostParams params)
        : run_(run),
          pool_(run.workspace.pool),
          simd_(run.workspace.simd),
          scratch_(run.workspace.memory.merge),
          params_(params),
          live_(nodes),
          edges_left_(edge_count) {
        for (int side = 0; side < 2; ++side) {
            sums_[side] = scratch_.sums[side].grow(nodes);
            identity_[side] = scratch_.identity[side].need(nodes);
            height_[side] = scratch_.height[side].need(nodes);
        }
        means_ = scratch_.means.need(nodes);
        best_ = scratch_.best.need(nodes);
        root_ = scratch_.root.need(nodes);
        rank_ = scratch_.rank.need(nodes);
        new_id_ = scratch_.new_id.need(nodes);
        records_.reserve(static_cast<size_t>(std::max<i64>(nodes - 1, 0)));
        pool_.each((nodes + kNodesPerTask - 1) / kNodesPerTask, [&](i64 task) {
            const i64 end = std::min(nodes, (task + 1) * kNodesPerTask);
            for (i64 i = task * kNodesPerTask; i < end; ++i) {
                means_[i] = mean_of(sums_[0][i]);
                identity_[0][i] = static_cast<i32>(i);
                height_[0][i] = 0.0f;
            }
        });
    }

    std::vector<MergeRecord> merge() {
        Edge* edges = run_.workspace.memory.edges.data();
        if (edges_left_ >= kSharedEdges && pool_.size() > 1) {
            split(pool_.size(), edges);
            rounds(kSharedEdges);
            edges = gather();
        }
        split(1, edges);
        rounds(1);
        return sort_by_height();
    }

  private:
    static RegionMean mean_of(const RegionSums& sums) {
        return {sums.L / sums.n, sums.A / sums.n, sums.B / sums.n, sums.n};
    }

    MergeRange& range(i32 index) { return scratch_.ranges[static_cast<size_t>(index)]; }

    // Shares the edges (grouped by a, ascending) among `count` ranges.
    void split(i32 count, Edge* edges) {
        count_ = count;
        if (scratch_.ranges.size() < static_cast<size_t>(count))
            scratch_.ranges.resize(static_cast<size_t>(count));
        i64 next = 0;
        for (i32 t = 0; t < count; ++t) {
            MergeRange& part = range(t);
            part.outbox.resize(static_cast<size_t>(count));
            part.records.clear();  // of a call that was cancelled
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

    // All ranges' edges in one array, and their records in the order of rounds.
    Edge* gather() {
        collect_records();
        Edge* const all = run_.workspace.memory.edges.need(edges_left_);
        i64 next = 0;
        for (i32 t = 0; t < count_; ++t) {
            std::copy_n(range(t).edges, range(t).edge_count, all + next);
            next += range(t).edge_count;
        }
        return all;
    }

    void collect_records() {
        std::vector<size_t> at(static_cast<size_t>(count_), 0);
        for (i32 round = first_round_; round < round_; ++round) {
            for (i32 t = 0; t < count_; ++t) {
                const std::vector<MergeRecord>& from = range(t).records;
                size_t& next = at[static_cast<size_t>(t)];
                for (; next < from.size() && from[next].round == round; ++next)
                    records_.push_back(from[next]);
            }
        }
        for (i32 t = 0; t < count_; ++t) range(t).records.clear();
        first_round_ = round_;
    }

    // Rounds until fewer than `enough` edges are left. Waiting for one another costs more than most of what
    // is done in between, so a phase goes on for as long as it needs nothing of the others' same phase.
    void rounds(i64 enough) {
        if (edges_left_ < enough) return;
        std::atomic<bool> failed{false};
        // What all must agree on is settled while all wait: so nobody leaves a barrier the others still come
        // to.
        Phase phase_now = kChoose;
        bool stop = false;
        std::barrier barrier(count_, [&]() noexcept {
            finish(phase_now);
            phase_now = phase_now == kChoose ? kChooseCrossing : static_cast<Phase>(phase_now + 1);
            stop = failed.load() || edges_left_ < enough;
        });
        pool_.team(count_, [&](int rank) {
            MergeRange& part = range(rank);
            std::exception_ptr error;
            // A thread that fails must not leave the others waiting: it goes on to every barrier, and all
            // stop together.
            const auto phase = [&](auto&& body) {
                if (!failed.load()) {
                    try {
                        body();
                    } catch (...) {
                        error = std::current_exception();
                        failed.store(true);
                    }
                }
                barrier.arrive_and_wait();
            };
            phase([&] {
                std::fill_n(part.marker.need(live_), live_, 0);
                choose(part);
            });
            while (!stop) {
                phase([&] { choose_crossing(part); });
                phase([&] {
                    if (rank == 0) run_.begin_step();
                    if (!collective_round(round_, merges_, live_before_)) {
                        unite_reciprocal(part);
                    } else if (rank == 0) {
                        unite_collective();
                    }
                });
                phase([&] { renumber(rank); });
                phase([&] { relabel(part); });
                phase([&] {
                    contract(rank);
                    choose(part);
                });
            }
            if (error) std::rethrow_exception(error);
        });
        collect_records();
    }

    // The phases of a round; the last chooses for the next one.
    enum Phase { kChooseCrossing, kUnite, kRenumber, kRelabel, kChoose };

    // What is settled when all have done a phase.
    void finish(Phase phase) {
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
        }
    }

    // The key of the edge (node, other) beyond cost and hash: its ends, smaller first. Ranks order like
    // identities.
    static u64 ends(i32 node, i32 other) {
        return (static_cast<u64>(std::min(node, other)) << 32) | static_cast<u64>(std::max(node, other));
    }

    void consider(i32 node, u64 word, i32 other) {
        Best& best = best_[node];
        // Which of two edges is less is a coin toss, so no branch; equal words hardly ever come.
        const bool less = word < best.word;
        if (word == best.word && ends(node, other) < ends(node, best.other)) [[unlikely]] {
            best.other = other;
        }
        best.word = less ? word : best.word;
        best.other = less ? other : best.other;
    }

    void choose(MergeRange& part) {
        std::fill(best_ + part.begin, best_ + part.end, Best{kNoWord, 0});
        part.crossing.clear();
        u64 words[kCostBlock];
        for (i64 begin = 0; begin < part.edge_count; begin += kCostBlock) {
            const i32 count = static_cast<i32>(std::min<i64>(kCostBlock, part.edge_count - begin));
            const Edge* const edges = part.edges + begin;
            simd_.edge_words(edges, count, means_, identity_[side_], params_, words);
            for (i32 i = 0; i < count; ++i) {
                const Edge& edge = edges[i];
                consider(edge.a, words[i], edge.b);
                if (edge.b < part.end) {
                    consider(edge.b, words[i], edge.a);
                } else {
                    part.crossing.push_back({words[i], edge.a, edge.b});
                }
            }
        }
    }

    void choose_crossing(const MergeRange& part) {
        for (i32 t = 0; t < count_; ++t) {
            for (const MergeRange::Crossing& from : range(t).crossing) {
                if (from.b >= part.begin && from.b < part.end) consider(from.b, from.word, from.a);
            }
        }
    }

    static float cost_of(const Best& best) { return std::bit_cast<float>(static_cast<u32>(best.word >> 32)); }

    MergeRecord record_of(const Best& best, i32 a, i32 b) const {
        const float* const height = height_[side_];
        return {std::max({cost_of(best), height[a], height[b]}), round_, identity_[side_][a],
                identity_[side_][b]};
    }

    // a takes in b: sums and height. Pairs of a reciprocal round are disjoint, so threads never meet here.
    void absorb(i32 a, i32 b, float height) {
        RegionSums* const sums = sums_[side_];
        sums[a].n += sums[b].n;
        sums[a].L += sums[b].L;
        sums[a].A += sums[b].A;
        sums[a].B += sums[b].B;
        height_[side_][a] = std::max({height_[side_][a], height_[side_][b], height});
    }

    // Whether two regions merge is for both to see, so each thread writes of its own regions only.
    void unite_reciprocal(MergeRange& part) {
        // Which regions merge is a coin toss: they are listed without a branch, then merged.
        i32* const pairs = part.pairs.need(part.end - part.begin + 1);
        i64 count = 0;
        i32 rank = 0;
        for (i32 i = part.begin; i < part.end; ++i) {
            const i32 other = best_[i].other;
            // A region without edges "chose" region 0; so may another, but not both, and region 0 not itself.
            const bool mutual = best_[other].other == i && other != i;
            pairs[count] = i;
            count += static_cast<i64>(mutual && other > i);
            const bool absorbed = mutual && other < i;
            root_[i] = absorbed ? other : i;
            rank_[i] = rank;
            rank += absorbed ? 0 : 1;
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

    void unite_collective() {
        for (i32 i = 0; i < live_; ++i) root_[i] = i;
        std::vector<MergeRecord>& records = range(0).records;
        const auto first = static_cast<std::ptrdiff_t>(records.size());
        std::vector<std::pair<i32, i32>> pairs;
        for (i32 i = 0; i < live_; ++i) {
            const Best& best = best_[i];
            if (best.word == kNoWord) continue;
            // Chosen by both ends: counted at the smaller one.
            if (best.other < i && best_[best.other].other == i) continue;
            pairs.push_back(std::minmax(i, best.other));
            records.push_back(record_of(best, pairs.back().first, pairs.back().second));
        }
        const auto find = [&](i32 node) {
            while (root_[node] != node) node = root_[node] = root_[root_[node]];
            return node;
        };
        for (size_t i = 0; i < pairs.size(); ++i) {
            const i32 p = find(pairs[i].first);
            const i32 q = find(pairs[i].second);
            const i32 a = std::min(p, q);
            const i32 b = std::max(p, q);
            absorb(a, b, records[static_cast<size_t>(first) + i].height);
            root_[b] = a;
        }
        std::sort(records.begin() + first, records.end(), [](const MergeRecord& p, const MergeRecord& q) {
            return p.a != q.a ? p.a < q.a : p.b < q.b;
        });
        for (i32 t = 0; t < count_; ++t) {
            MergeRange& part = range(t);
            part.merges = t == 0 ? static_cast<i64>(pairs.size()) : 0;
            part.roots = 0;
            for (i32 i = part.begin; i < part.end; ++i) {
                root_[i] = root_[root_[i]];  // of smaller ones, theirs is found
                rank_[i] = part.roots;
                part.roots += root_[i] == i ? 1 : 0;
            }
        }
    }

    // Gives the regions that are left their new numbers and places, and the others the numbers of theirs.
    void renumber(i32 rank) {
        MergeRange& part = range(rank);
        const int side = 1 - side_;
        i32 next = part.new_begin;
        for (i32 i = part.begin; i < part.end; ++i) {
            const i32 root = root_[i];
            if (root != i) {
                i32 owner = rank;  // roots are smaller than what they took in
                while (root < range(owner).begin) --owner;
                new_id_[i] = range(owner).new_begin + rank_[root];
                continue;
            }
            sums_[side][next] = sums_[side_][i];
            means_[next] = mean_of(sums_[side_][i]);
            identity_[side][next] = identity_[side_][i];
            height_[side][next] = height_[side_][i];
            new_id_[i] = next++;
        }
    }

    // Gives the edges their new ends; drops those inside a region, and hands over those whose smaller end is
    // another range's.
    void relabel(MergeRange& part) {
        for (std::vector<Edge>& box : part.outbox) box.clear();
        i32* const bucket = part.bucket.need(part.new_end - part.new_begin + 1);
        std::fill(bucket, bucket + (part.new_end - part.new_begin + 1), 0);
        i64 kept = 0;
        for (i64 i = 0; i < part.edge_count; ++i) {
            Edge edge = part.edges[i];
            const i32 p = new_id_[edge.a];
            const i32 q = new_id_[edge.b];
            if (p == q) continue;
            edge.a = std::min(p, q);
            edge.b = std::max(p, q);
            if (edge.a >= part.new_begin && edge.a < part.new_end) {
                ++bucket[edge.a - part.new_begin];
                part.edges[kept++] = edge;
            } else {
                i32 owner = 0;
                while (edge.a >= range(owner).new_end) ++owner;
                part.outbox[static_cast<size_t>(owner)].push_back(edge);
            }
        }
        part.edge_count = kept;
    }

    // Groups the range's edges by their smaller end, and joins equal ones.
    void contract(i32 rank) {
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
        Edge* const out = part.storage[part.next_storage].need(total);
        part.next_storage = 1 - part.next_storage;
        const auto place = [&](const Edge& edge) { out[bucket[edge.a - part.new_begin]++] = edge; };
        for (i64 i = 0; i < part.edge_count; ++i) place(part.edges[i]);
        each_received(place);

        // bucket[i] is now the end of bucket i. marker[b]: where b's edge of this bucket went; anything else
        // it may hold, left from other buckets, is seen through.
        i32* const marker = part.marker.data();
        i32 count = 0;
        i32 from = 0;
        for (i32 i = 0; i < nodes; ++i) {
            const i32 first = count;
            for (; from < bucket[i]; ++from) {
                const Edge edge = out[from];
                const i32 at = marker[edge.b];
                if (at >= first && at < count && out[at].b == edge.b) {
                    out[at].len += edge.len;
                    out[at].cs += edge.cs;
                } else {
                    marker[edge.b] = count;
                    out[count++] = edge;
                }
            }
        }
        part.edges = out;
        part.edge_count = count;
        part.begin = part.new_begin;
        part.end = part.new_end;
    }

    // Records come in the order of (round, a, b); a stable radix sort by height keeps it among equals.
    // Positive floats order as their bits.
    std::vector<MergeRecord> sort_by_height() {
        constexpr int kBits = 11;
        constexpr size_t kBuckets = size_t{1} << kBits;
        std::vector<MergeRecord>& from = records_;
        std::vector<MergeRecord> to(from.size());
        for (int shift = 0; shift < 32; shift += kBits) {
            const auto digit = [&](const MergeRecord& record) {
                return (std::bit_cast<u32>(record.height) >> shift) & (kBuckets - 1);
            };
            std::vector<size_t> next(kBuckets + 1, 0);
            for (const MergeRecord& record : from) ++next[digit(record) + 1];
            for (size_t i = 1; i <= kBuckets; ++i) next[i] += next[i - 1];
            for (const MergeRecord& record : from) to[next[digit(record)]++] = record;
            from.swap(to);
        }
        return std::move(records_);
    }

    Run& run_;
    ThreadPool& pool_;
    const Simd& simd_;
    MergeScratch& scratch_;
    const CostParams params_;
    i32 count_ = 0;  // ranges
    i64 live_, live_before_ = 0, merges_ = 0, edges_left_;
    i32 round_ = 0, first_round_ = 0;
    int side_ = 0;
    RegionSums* sums_[2];
    RegionMean* means_;
    i32* identity_[2];
    float* height_[2];
    Best* best_;
    i32* root_;
    i32* rank_;  // of a root, among its range's
    i32* new_id_;
    std::vector<MergeRecord> records_;
};

}  // namespace

std::vector<MergeRecord> merge_regions(Run& run, i64 nodes, i64 edge_count, CostParams params) {
    std::vector<MergeRecord> records;
    run.stage(kMerge, [&] { records = Merger(run, nodes, edge_count, params).merge(); });
    return records;
}

std::vector<MergeRecord> merge_pixels(Run& run, const Image& image, const Settings& settings,
                                      const i32* labels) {
    const Planes planes = smoothed_planes(run, image, nullptr);
    const i64 pixels = static_cast<i64>(image.width) * image.height;
    i64 count = 0;
    run.stage(kGraph, [&] {
        RegionSums* const sums = run.workspace.memory.merge.sums[0].need(pixels);
        for (i64 i = 0; i < pixels; ++i) {
            sums[i] = {1.0, static_cast<double>(planes.L[i]), static_cast<double>(planes.A[i]),
                       static_cast<double>(planes.B[i])};
        }
        const auto side_contrast = [&](i64 p, i64 q) {
            return contrast(planes.L[p] - planes.L[q], planes.A[p] - planes.A[q], planes.B[p] - planes.B[q]);
        };
        // Counted first: an edge for every side between pixels of one region, at most 2N.
        i64 sides = 0;
        for (i64 i = 0; i < pixels; ++i) {
            sides += (i % image.width != 0 && labels[i] == labels[i - 1] ? 1 : 0) +
                     (i >= image.width && labels[i] == labels[i - image.width] ? 1 : 0);
        }
        Edge* const edges = run.workspace.memory.edges.need(sides);
        for (i32 y = 0; y < image.height; ++y) {
            const i64 line = static_cast<i64>(y) * image.width;
            const i64 above = static_cast<i64>(std::max(y - 1, 0)) * image.width;
            const i64 two_below = static_cast<i64>(std::min(y + 2, image.height - 1)) * image.width;
            for (i32 x = 0; x < image.width; ++x) {
                const i64 i = line + x;
                const i32 a = static_cast<i32>(i);
                if (x + 1 < image.width && labels[i] == labels[i + 1]) {
                    const i32 cs =
                        side_contrast(line + std::max(x - 1, 0), line + std::min(x + 2, image.width - 1));
                    edges[count++] = {a, a + 1, 1, static_cast<double>(cs)};
                }
                if (y + 1 < image.height && labels[i] == labels[i + image.width]) {
                    edges[count++] = {a, a + image.width, 1,
                                      static_cast<double>(side_contrast(above + x, two_below + x))};
                }
            }
        }
    });
    // No pixel is a speck among pixels: a cell area of 1.
    return merge_regions(run, pixels, count, {settings.k4(), 1.0});
}

Segmentation segment(Run& run, const Image& image, const Settings& settings, i32* labels, Trace* trace) {
    const Planes planes = smoothed_planes(run, image, trace);
    Segmentation result;
    result.regions = base_regions(run, image, settings, planes, labels, trace);
    const i64 edges = build_graph(run, image, planes, result.regions);
    if (trace != nullptr) {
        const RegionSums* const sums = run.workspace.memory.merge.sums[0].data();
        trace->nodes.assign(sums, sums + result.regions);
        trace->edges.assign(run.workspace.memory.edges.data(), run.workspace.memory.edges.data() + edges);
    }
    const i32 step = grid_step(static_cast<i64>(image.width) * image.height);
    result.merges =
        merge_regions(run, result.regions, edges, {settings.k4(), static_cast<double>(step * step)});
    return result;
}

}  // namespace superpixel
