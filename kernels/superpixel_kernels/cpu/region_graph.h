// The region graph of a whole image, put together from its tiles.
#pragma once

#include <vector>

#include "engine.h"

namespace superpixel {

// What one tile gives, in arrays as in TileGraph; `ids`: the base region of each local region.
struct TileArrays {
    const i32* ids;
    i64 ids_count;
    const i32* owned;
    i64 owned_count;
    const i32* sums;
    const i32* degrees;
    const i32* edges;
    i64 edge_count;
    const i32* importance;  // or null
    const i32* prior;       // or null
};

// First all tiles are counted, then seal() makes room, then all tiles are added. Several threads may add
// tiles at the same time. All throw std::invalid_argument if the tiles do not fit together.
class RegionGraph {
  public:
    RegionGraph(i64 regions, bool weighted, bool hard);

    void count(const TileArrays& tile);
    void seal();
    void add(const TileArrays& tile);

    // Stage merge. Moves the graph to the workspace, so it can be called once.
    Segmentation merge(Run& run, CostParams params);

  private:
    size_t region_of(const TileArrays& tile, i32 local) const;

    const i64 regions_;
    const bool weighted_, hard_;
    i64 edge_count_ = 0;
    std::vector<i64> begin_;  // of each region: its first edge; before seal(), how many edges it has
    Buffer<RegionSums> sums_;
    Buffer<Edge> edges_;
    Buffer<double> weights_;
    Buffer<i32> prior_labels_;
};

// Writes the position of each query in `sorted`. Both are ascending, and distinct. Returns whether all are
// there.
bool find_ranks(const i64* sorted, i64 count, const i64* queries, i64 query_count, i32* ranks);

}  // namespace superpixel
