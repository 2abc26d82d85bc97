// All stages in their order.
#include <algorithm>

#include "engine.h"

namespace superpixel {

Segmentation segment(Run& run, const Image& image, double compactness, i32* labels, Trace* trace) {
    const Planes planes = smoothed_planes(run, image, trace);
    assign_pixels(run, image, compactness, planes, labels, trace);
    Segmentation result;
    result.regions = label_components(run, image, labels);
    if (run.on_regions) run.on_regions(result.regions);
    const i64 edges = build_graph(run, image, planes, result.regions);
    if (trace != nullptr) {
        const RegionSums* const sums = run.workspace.memory.merge.sums[0].data();
        trace->nodes.assign(sums, sums + result.regions);
        trace->edges.assign(run.workspace.memory.edges.data(), run.workspace.memory.edges.data() + edges);
        std::sort(trace->edges.begin(), trace->edges.end(),
                  [](const Edge& p, const Edge& q) { return p.a != q.a ? p.a < q.a : p.b < q.b; });
    }
    const i32 step = grid_of(image.width, image.height).step;
    result.merges = merge_regions(run, result.regions, edges, cost_params(compactness, step));
    return result;
}

std::vector<MergeRecord> merge_pixels(Run& run, const Image& image, double compactness, const i32* labels) {
    const Planes planes = smoothed_planes(run, image, nullptr);
    const i64 edges = build_pixel_graph(run, image, planes, labels);
    return merge_regions(run, image.size(), edges, cost_params(compactness, 1));
}

}  // namespace superpixel
