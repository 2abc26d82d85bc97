// Stage merge: rounds of reciprocal nearest neighbours, and collective rounds if these merge too little.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <exception>
#include <numeric>
#include <utility>

#include "engine.h"
#include "merge_phases.h"

namespace superpixel {
namespace {

// A round over fewer edges is too short to be worth sharing among threads.
constexpr i64 kSharedEdges = 8192;

class Merger {
  public:
    Merger(Run& run, i64 nodes, i64 edge_count, CostParams params, bool weighted)
        : run_(run), pool_(run.workspace.pool), phases_(run.workspace, nodes, edge_count, params, weighted) {
        records_.reserve(static_cast<size_t>(std::max<i64>(nodes - 1, 0)));
    }

    // Merges along the edges in the workspace, sorted by a, until none is left.
    std::vector<MergeRecord> merge() {
        first_round_ = 0;
        Edge* edges = run_.workspace.memory.edges.data();
        if (phases_.edges_left() >= kSharedEdges && pool_.size() > 1) {
            phases_.split(pool_.size(), edges);
            rounds(kSharedEdges);
            edges = gather_edges();
        }
        phases_.split(1, edges);
        rounds(1);
        phases_.end_rounds();
        sort_by_height();
        return std::exchange(records_, {});
    }

    void restart(i64 edge_count) { phases_.restart(edge_count); }

  private:
    using Phase = MergePhases::Phase;

    // Rounds until fewer than `enough` edges are left. Waiting costs more than most phases, so a phase ends
    // only where a thread needs what the others did in the same phase.
    void rounds(i64 enough) {
        if (phases_.edges_left() < enough) return;
        std::atomic<bool> failed{false};
        // Decisions for all threads are made while all wait, so that all leave the loop after the same
        // barrier.
        Phase phase_now = MergePhases::kChoose;
        bool stop = false;
        std::barrier barrier(phases_.ranges(), [&]() noexcept {
            phase_now = phases_.finish(phase_now);
            stop = failed.load() || phases_.edges_left() < enough;
        });
        pool_.team(phases_.ranges(), [&](int rank) {
            MergeRange& part = phases_.range(rank);
            std::exception_ptr error;
            // A thread that fails still arrives at the barrier, where the others wait. All stop after it.
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
            phase([&] { phases_.begin(part); });
            while (!stop) {
                phase([&] { phases_.choose_crossing(part); });
                phase([&] {
                    if (rank == 0) run_.begin_step();
                    if (!phases_.collective()) {
                        phases_.unite_reciprocal(part);
                    } else if (rank == 0) {
                        phases_.unite_collective();
                    }
                });
                if (phases_.renumbers()) phase([&] { phases_.renumber(rank); });
                phase([&] { phases_.relabel(part); });
                phase([&] { phases_.contract_and_choose(rank); });
            }
            if (error) std::rethrow_exception(error);
        });
        collect_records();
    }

    // Appends the ranges' records to records_, in the order of rounds.
    void collect_records() {
        std::vector<size_t> at(static_cast<size_t>(phases_.ranges()), 0);
        for (i32 round = first_round_; round < phases_.round(); ++round) {
            for (i32 t = 0; t < phases_.ranges(); ++t) {
                const std::vector<MergeRecord>& from = phases_.range(t).records;
                size_t& next = at[static_cast<size_t>(t)];
                for (; next < from.size() && from[next].round == round; ++next)
                    records_.push_back(from[next]);
            }
        }
        for (i32 t = 0; t < phases_.ranges(); ++t) phases_.range(t).records.clear();
        first_round_ = phases_.round();
    }

    // Copies the edges of all ranges into one array.
    Edge* gather_edges() {
        Edge* const all = run_.workspace.memory.edges.need(phases_.edges_left());
        i64 next = 0;
        for (i32 t = 0; t < phases_.ranges(); ++t) {
            const MergeRange& part = phases_.range(t);
            std::copy_n(part.edges, part.edge_count, all + next);
            next += part.edge_count;
        }
        return all;
    }

    // Records are in the order of (round, a, b), which a stable radix sort keeps among equal heights.
    // Positive floats have the order of their bits.
    void sort_by_height() {
        constexpr int kBits = 11;
        constexpr size_t kBuckets = size_t{1} << kBits;
        std::vector<MergeRecord> to(records_.size());
        for (int shift = 0; shift < 32; shift += kBits) {
            const auto digit = [&](const MergeRecord& record) {
                return (std::bit_cast<u32>(record.height) >> shift) & (kBuckets - 1);
            };
            std::vector<size_t> next(kBuckets + 1, 0);
            for (const MergeRecord& record : records_) ++next[digit(record) + 1];
            for (size_t i = 1; i <= kBuckets; ++i) next[i] += next[i - 1];
            for (const MergeRecord& record : records_) to[next[digit(record)]++] = record;
            records_.swap(to);
        }
    }

    Run& run_;
    ThreadPool& pool_;
    MergePhases phases_;
    i32 first_round_ = 0;  // the first whose records are not in records_ yet
    std::vector<MergeRecord> records_;
};

// Edges between regions of unequal prior label. They take no part in the first run; afterwards they connect
// the regions that are left.
class CarriedEdges {
  public:
    // Moves them out of the workspace's edges, which stay sorted by a.
    CarriedEdges(Scratch& memory, i64 edge_count) : memory_(memory) {
        const i32* const labels = memory.prior_labels.data();
        Edge* const edges = memory.edges.data();
        const auto is_carried = [&](const Edge& edge) { return labels[edge.a] != labels[edge.b]; };
        count_ = std::count_if(edges, edges + edge_count, is_carried);
        std::copy_if(edges, edges + edge_count, memory.carried_edges.need(count_), is_carried);
        std::remove_if(edges, edges + edge_count, is_carried);
    }

    i64 count() const { return count_; }

    // Writes them to the workspace's edges, sorted by a: their ends are the ranks of the regions that the
    // records of the first run leave, and those with equal ends are joined. Returns how many these are.
    i64 hand_over(i64 nodes, const std::vector<MergeRecord>& records) {
        std::vector<i32> rank(static_cast<size_t>(nodes));
        const i32 live = label_nodes(nodes, records.data(), static_cast<i64>(records.size()), rank.data());
        std::vector<i64> end(static_cast<size_t>(live) + 1, 0);  // of the edges of each region a, once sorted
        Edge* const carried = memory_.carried_edges.data();
        for (i64 i = 0; i < count_; ++i) {
            const auto [a, b] =
                std::minmax(rank[static_cast<size_t>(carried[i].a)], rank[static_cast<size_t>(carried[i].b)]);
            carried[i].a = a;
            carried[i].b = b;
            ++end[static_cast<size_t>(a) + 1];
        }
        std::partial_sum(end.begin(), end.end(), end.begin());
        Edge* const sorted = memory_.edges.need(count_);
        for (i64 i = 0; i < count_; ++i) sorted[end[static_cast<size_t>(carried[i].a)]++] = carried[i];
        i64 kept = 0;
        i64 begin = 0;
        for (i32 a = 0; a < live; ++a) {
            const i64 group_end = end[static_cast<size_t>(a)];
            std::sort(sorted + begin, sorted + group_end,
                      [](const Edge& p, const Edge& q) { return p.b < q.b; });
            const i64 group = kept;
            for (i64 i = begin; i < group_end; ++i) {
                if (kept > group && sorted[kept - 1].b == sorted[i].b) {
                    sorted[kept - 1].len += sorted[i].len;
                    sorted[kept - 1].cs += sorted[i].cs;
                } else {
                    sorted[kept++] = sorted[i];
                }
            }
            begin = group_end;
        }
        return kept;
    }

  private:
    Scratch& memory_;
    i64 count_ = 0;
};

}  // namespace

std::vector<MergeRecord> merge_regions(Run& run, i64 nodes, i64 edge_count, CostParams params,
                                       bool weighted) {
    std::vector<MergeRecord> records;
    run.stage(kMerge, [&] { records = Merger(run, nodes, edge_count, params, weighted).merge(); });
    return records;
}

std::vector<MergeRecord> merge_within_prior(Run& run, i64 nodes, i64 edge_count, CostParams params,
                                            bool weighted, i32* components) {
    std::vector<MergeRecord> records;
    run.stage(kMerge, [&] {
        CarriedEdges carried(run.workspace.memory, edge_count);
        Merger merger(run, nodes, edge_count - carried.count(), params, weighted);
        records = merger.merge();
        *components = static_cast<i32>(nodes) - static_cast<i32>(records.size());
        merger.restart(carried.hand_over(nodes, records));
        const std::vector<MergeRecord> second = merger.merge();
        records.insert(records.end(), second.begin(), second.end());
    });
    return records;
}

void merge_stage(Run& run, i64 edge_count, CostParams params, bool weighted, bool hard,
                 Segmentation& result) {
    result.merges =
        hard ? merge_within_prior(run, result.regions, edge_count, params, weighted, &result.components)
             : merge_regions(run, result.regions, edge_count, params, weighted);
}

}  // namespace superpixel
