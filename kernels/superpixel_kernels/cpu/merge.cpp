// Stage merge: rounds of reciprocal nearest neighbours, and collective rounds if these merge too little.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <exception>
#include <utility>

#include "engine.h"
#include "merge_phases.h"

namespace superpixel {
namespace {

// A round over fewer edges is too short to be worth sharing among threads.
constexpr i64 kSharedEdges = 8192;

class Merger {
  public:
    Merger(Run& run, i64 nodes, i64 edge_count, CostParams params)
        : run_(run), pool_(run.workspace.pool), phases_(run.workspace, nodes, edge_count, params) {
        records_.reserve(static_cast<size_t>(std::max<i64>(nodes - 1, 0)));
    }

    std::vector<MergeRecord> merge() {
        Edge* edges = run_.workspace.memory.edges.data();
        if (phases_.edges_left() >= kSharedEdges && pool_.size() > 1) {
            phases_.split(pool_.size(), edges);
            rounds(kSharedEdges);
            edges = gather_edges();
        }
        phases_.split(1, edges);
        rounds(1);
        sort_by_height();
        return std::move(records_);
    }

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
            phases_.finish(phase_now);
            phase_now = phase_now == MergePhases::kChoose ? MergePhases::kChooseCrossing
                                                          : static_cast<Phase>(phase_now + 1);
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
                phase([&] { phases_.renumber(rank); });
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

}  // namespace

std::vector<MergeRecord> merge_regions(Run& run, i64 nodes, i64 edge_count, CostParams params) {
    std::vector<MergeRecord> records;
    run.stage(kMerge, [&] { records = Merger(run, nodes, edge_count, params).merge(); });
    return records;
}

}  // namespace superpixel
