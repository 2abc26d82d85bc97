#include "engine.h"

namespace superpixel {
namespace {

template <class T>
i64 held(const std::vector<T>& values) {
    return static_cast<i64>(values.capacity() * sizeof(T));
}

}  // namespace

Workspace::Workspace(int threads, const Simd& instructions, i64 kept)
    : pool(threads), simd(instructions), kept_bytes(kept) {}

i64 Workspace::bytes() const {
    i64 total = memory.color_planes.bytes() + memory.smooth_planes.bytes() + memory.smooth_scratch.bytes() +
                memory.centers.bytes() + memory.sums.bytes() + memory.row_scratch.bytes() +
                memory.run_start.bytes() + memory.run_parent.bytes() + memory.run_region.bytes() +
                memory.row_runs.bytes() + memory.edge_head.bytes() + memory.edges.bytes();
    for (const EdgeBand& band : memory.edge_bands) {
        total += band.nodes.bytes() + band.contrast.bytes() + band.run_sums.bytes() + held(band.foreign) +
                 held(band.foreign_sums);
    }
    const MergeScratch& merge = memory.merge;
    for (int side = 0; side < 2; ++side) {
        total += merge.sums[side].bytes() + merge.identity[side].bytes() + merge.height[side].bytes();
    }
    total += merge.means.bytes() + merge.best.bytes() + merge.root.bytes() + merge.new_id.bytes();
    for (const MergeRange& range : merge.ranges) {
        total += range.storage[0].bytes() + range.storage[1].bytes() + range.bucket.bytes() +
                 range.marker.bytes() + range.pairs.bytes() + held(range.crossing) + held(range.records);
        for (const std::vector<Edge>& box : range.outbox) total += held(box);
    }
    return total;
}

void Workspace::trim() {
    if (bytes() > kept_bytes) memory = Scratch();
}

}  // namespace superpixel
