#include "workspace.h"

namespace superpixel {
namespace {

template <class T>
i64 vector_bytes(const std::vector<T>& values) {
    return static_cast<i64>(values.capacity() * sizeof(T));
}

// Calls body(buffer) for every buffer of the scratch memory.
template <class F>
void each_buffer(Scratch& memory, F&& body) {
    const auto all = [&](auto&... buffers) { (body(buffers), ...); };
    all(memory.color_planes, memory.smooth_planes, memory.smooth_scratch, memory.centers, memory.sums,
        memory.row_scratch, memory.run_start, memory.run_parent, memory.run_region, memory.row_starts,
        memory.row_seams, memory.contacts, memory.row_runs, memory.edge_lines, memory.edges,
        memory.edge_levels, memory.prior_labels, memory.prior_changes, memory.carried_edges,
        memory.tile_labels);
    for (EdgeBand& band : memory.edge_bands)
        all(band.contrast, band.contrast_before, band.strength, band.found, band.row_foreign_sums);
    MergeScratch& merge = memory.merge;
    for (int side = 0; side < 2; ++side)
        all(merge.sums[side], merge.identity[side], merge.height[side], merge.weights[side]);
    all(merge.means, merge.best, merge.live, merge.root, merge.rank, merge.new_id);
    for (MergeRange& range : merge.ranges) {
        all(range.storage[0], range.storage[1], range.stale, range.bucket, range.pairs, range.marker);
    }
}

}  // namespace

Workspace::Workspace(int threads, const Simd& instructions, i64 kept)
    : pool(threads), simd(instructions), kept_bytes(kept) {}

i64 Workspace::bytes() {
    i64 total = 0;
    each_buffer(memory, [&](const auto& buffer) { total += buffer.bytes(); });
    for (const EdgeBand& band : memory.edge_bands) {
        total += vector_bytes(band.crowded) + vector_bytes(band.foreign) + vector_bytes(band.foreign_sums);
    }
    for (const MergeRange& range : memory.merge.ranges) {
        total += vector_bytes(range.crossing) + vector_bytes(range.received) + vector_bytes(range.records);
        for (const std::vector<Edge>& box : range.outbox) total += vector_bytes(box);
    }
    return total;
}

void Workspace::trim() {
    i64 left = bytes();
    if (left <= kept_bytes) return;
    each_buffer(memory, [&](auto& buffer) { left -= buffer.free_lazily(); });
    if (left > kept_bytes) memory = Scratch();
}

}  // namespace superpixel
