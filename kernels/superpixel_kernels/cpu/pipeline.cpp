// All stages in their order.
#include <algorithm>

#include "engine.h"

namespace superpixel {

namespace {

template <class T>
void copy_to(std::vector<T>& to, Buffer<T>& from, i64 count) {
    to.assign(from.data(), from.data() + count);
}

void copy_graph(Trace& trace, Scratch& memory, const Guide& guide, i32 regions, i64 edges) {
    copy_to(trace.nodes, memory.merge.sums[0], regions);
    copy_to(trace.edges, memory.edges, edges);
    std::sort(trace.edges.begin(), trace.edges.end(),
              [](const Edge& p, const Edge& q) { return p.a != q.a ? p.a < q.a : p.b < q.b; });
    if (guide.edges != nullptr) copy_to(trace.edge_levels, memory.edge_levels, regions);
    if (guide.prior != nullptr) copy_to(trace.prior_labels, memory.prior_labels, regions);
    if (guide.importance != nullptr) copy_to(trace.weights, memory.merge.weights[0], regions);
}

}  // namespace

Segmentation segment(Run& run, const Image& image, const Guide& guide, double compactness, i32* labels,
                     Trace* trace) {
    const Planes planes = smoothed_planes(run, image, trace);
    assign_pixels(run, image, compactness, planes, labels, trace);
    Segmentation result;
    result.regions = label_components(run, image, guide.hard_prior(), labels);
    if (run.on_regions) run.on_regions(result.regions);
    const i64 edges = build_graph(run, image, planes, guide, result.regions);
    if (trace != nullptr) copy_graph(*trace, run.workspace.memory, guide, result.regions, edges);
    const CostParams params = cost_params(compactness, grid_of(image.width, image.height).step);
    merge_stage(run, edges, params, guide.importance != nullptr, guide.hard_prior() != nullptr, result);
    return result;
}

std::vector<MergeRecord> merge_pixels(Run& run, const Image& image, double compactness, const i32* labels) {
    const Planes planes = smoothed_planes(run, image, nullptr);
    const i64 edges = build_pixel_graph(run, image, planes, labels);
    return merge_regions(run, image.size(), edges, cost_params(compactness, 1), false);
}

}  // namespace superpixel
