#include "region_graph.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "superpixel/guidance.h"

namespace superpixel {
namespace {

constexpr i64 kMostRegions = (i64{1} << 31) - 1;
constexpr i64 kNotCounted = -1;
// Stage merge numbers the edges of one thread with 32 bits.
constexpr i64 kMostEdgesPerThread = i64{1} << 30;

}  // namespace

RegionGraph::RegionGraph(i64 regions, bool weighted, bool hard)
    : regions_(regions), weighted_(weighted), hard_(hard) {
    if (regions < 1 || regions > kMostRegions)
        throw std::invalid_argument("regions: must be from 1 to 2^31 - 1");
    begin_.assign(static_cast<size_t>(regions) + 1, kNotCounted);
}

size_t RegionGraph::region_of(const TileArrays& tile, i32 local) const {
    if (local < 0 || local >= tile.ids_count || tile.ids[local] < 0 || tile.ids[local] >= regions_)
        throw std::invalid_argument("a tile names a region that does not exist");
    return static_cast<size_t>(tile.ids[local]);
}

void RegionGraph::count(const TileArrays& tile) {
    i64 edges = 0;
    for (i64 i = 0; i < tile.owned_count; ++i) {
        i64& of_region = begin_[region_of(tile, tile.owned[i])];
        if (of_region != kNotCounted || tile.degrees[i] < 0)
            throw std::invalid_argument("two tiles describe the same region");
        of_region = tile.degrees[i];
        edges += tile.degrees[i];
    }
    if (edges != tile.edge_count)
        throw std::invalid_argument("a tile has another number of edges than it says");
}

void RegionGraph::seal() {
    begin_.back() = 0;
    for (i64& begin : begin_) {
        if (begin == kNotCounted) throw std::invalid_argument("no tile describes a region");
        edge_count_ += std::exchange(begin, edge_count_);
    }
    sums_.need(regions_);
    edges_.need(edge_count_);
    if (weighted_) weights_.need(regions_);
    if (hard_) prior_labels_.need(regions_);
}

void RegionGraph::add(const TileArrays& tile) {
    if ((weighted_ && tile.importance == nullptr) || (hard_ && tile.prior == nullptr))
        throw std::invalid_argument("a tile lacks what a map of guidance says");
    const i32* from = tile.edges;
    for (i64 i = 0; i < tile.owned_count; ++i) {
        const size_t region = region_of(tile, tile.owned[i]);
        const i32* const sums = tile.sums + 4 * i;
        sums_.data()[region] = {static_cast<double>(sums[0]), static_cast<double>(sums[1]),
                                static_cast<double>(sums[2]), static_cast<double>(sums[3])};
        if (weighted_) weights_.data()[region] = importance_weight(0, tile.importance[i]);
        if (hard_) prior_labels_.data()[region] = tile.prior[i];
        Edge* to = edges_.data() + begin_[region];
        if (begin_[region] + tile.degrees[i] != begin_[region + 1])
            throw std::invalid_argument("a tile has changed");
        for (i32 edge = 0; edge < tile.degrees[i]; ++edge, from += 3, ++to) {
            const size_t other = region_of(tile, from[0]);
            if (other <= region || from[1] < 1) throw std::invalid_argument("a tile has a broken edge");
            *to = {static_cast<i32>(region), static_cast<i32>(other), from[1], static_cast<double>(from[2])};
        }
    }
}

Segmentation RegionGraph::merge(Run& run, CostParams params) {
    if (edge_count_ / run.workspace.pool.size() > kMostEdgesPerThread)
        throw std::invalid_argument("threads: too few for this many edges; one thread takes 2^30");
    std::vector<i64>().swap(begin_);
    trim_heap();  // what the tiles have left
    Scratch& memory = run.workspace.memory;
    memory.merge.sums[0] = std::move(sums_);
    memory.edges = std::move(edges_);
    if (weighted_) memory.merge.weights[0] = std::move(weights_);
    if (hard_) memory.prior_labels = std::move(prior_labels_);
    Segmentation result;
    result.regions = static_cast<i32>(regions_);
    merge_stage(run, edge_count_, params, weighted_, hard_, result);
    return result;
}

bool find_ranks(const i64* sorted, i64 count, const i64* queries, i64 query_count, i32* ranks) {
    i64 at = 0;
    for (i64 i = 0; i < query_count; ++i) {
        // The next query is near within a row of pixels, and far after it: steps that double find both.
        i64 step = 1;
        while (at + step < count && sorted[at + step] <= queries[i]) {
            at += step;
            step *= 2;
        }
        const i64* const end = sorted + std::min(count, at + step);
        at = std::lower_bound(sorted + at, end, queries[i]) - sorted;
        if (at >= count || sorted[at] != queries[i]) return false;
        ranks[i] = static_cast<i32>(at);
    }
    return true;
}

}  // namespace superpixel
