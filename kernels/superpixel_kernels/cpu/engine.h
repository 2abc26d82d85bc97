// The C++ engine: an image in, base regions and merge records out. Stages in the order of docs/algorithm.md.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "cancel.h"
#include "guide.h"
#include "simd.h"
#include "superpixel/common.h"
#include "workspace.h"

namespace superpixel {

// Stage names are the same in both engines. The eighth stage, `cut`, is timed by its caller.
enum Stage { kColor, kSmooth, kUpdate, kAssign, kComponents, kGraph, kMerge, kStageCount };
constexpr const char* kStageNames[kStageCount] = {"color",      "smooth", "update", "assign",
                                                  "components", "graph",  "merge"};

// The results of every stage, for tests that compare engines stage by stage.
struct Trace {
    std::vector<i16> color, smooth;            // (3, height, width)
    std::vector<std::vector<Center>> centers;  // per iteration: (ny * nx)
    std::vector<std::vector<i32>> assign;      // per iteration: (height, width)
    std::vector<RegionSums> nodes;             // (regions)
    std::vector<Edge> edges;                   // sorted by (a, b)
    std::vector<unsigned char> edge_levels;    // (regions), with an edge map
    std::vector<i32> prior_labels;             // (regions), with a prior map
    std::vector<double> weights;               // (regions): W / 32, with an importance map
};

struct Image {
    const unsigned char* pixels;  // (height, width, channels) uint8, channels 1 or 3
    i32 height, width, channels;
    i32 step = 0;  // of the grid; 0: that of an image of this size. A crop has the step of its image.

    i64 size() const { return static_cast<i64>(width) * height; }
    Grid grid() const {
        if (step == 0) return grid_of(width, height);
        return {step, grid_cells(width, step), grid_cells(height, step)};
    }
};

// One call: its memory, its token, and the seconds spent in each stage.
class Run {
  public:
    Run(Workspace& scratch, CancelToken* token) : workspace(scratch), token_(token) {}
    // Comes before each stage and each merge round: here other threads can stop or pause the call.
    void begin_step() const {
        if (token_ != nullptr) token_->begin_step();
    }
    template <class F>
    void stage(Stage which, F&& body) {
        begin_step();
        const auto start = std::chrono::steady_clock::now();
        body();
        seconds[which] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }

    Workspace& workspace;
    double seconds[kStageCount] = {};
    // Called with the number of base regions before stage graph, whose memory grows with it. May throw.
    std::function<void(i32)> on_regions;

  private:
    CancelToken* token_;
};

// Stages color and smooth: writes workspace.memory.smooth_planes, and returns them.
Planes smoothed_planes(Run& run, const Image& image, Trace* trace);

// Stages update and assign: writes to `labels` (height, width) the centre that each pixel chose.
void assign_pixels(Run& run, const Image& image, double compactness, Planes planes, i32* labels,
                   Trace* trace);

// Stage components: replaces such labels by those of their 4-connected components, the base regions; returns
// how many there are. Leaves the runs of equal labels in the workspace, for build_graph. `hard_prior`: null,
// or labels that each region must have in common too.
i32 label_components(Run& run, const Image& image, const i32* hard_prior, i32* labels);

// The first part of stage graph: writes to the workspace what the maps say about each region.
void measure_guide(Workspace& workspace, const Image& image, const Guide& guide, i32 regions);

// Stage graph: writes the region sums to workspace.memory.merge.sums[0], and the edges, sorted by a, to
// workspace.memory.edges; returns the number of edges.
i64 build_graph(Run& run, const Image& image, Planes planes, const Guide& guide, i32 regions);

// Stage graph on the pixel level: every pixel is a node, and every side between two pixels of one base region
// an edge. Writes and returns the same as build_graph.
i64 build_pixel_graph(Run& run, const Image& image, Planes planes, const i32* labels);

// Stage merge, over the `nodes` regions and `edge_count` edges that stage graph has left in the workspace.
// `weighted`: with an importance map, whose weights are there too.
std::vector<MergeRecord> merge_regions(Run& run, i64 nodes, i64 edge_count, CostParams params, bool weighted);

// Stage merge with a hard prior: first the edges between regions of equal prior label, then all others.
// Returns the records of both, one after the other, and sets `components` to the number of regions between.
std::vector<MergeRecord> merge_within_prior(Run& run, i64 nodes, i64 edge_count, CostParams params,
                                            bool weighted, i32* components);

struct Segmentation {
    i32 regions = 0;
    i32 components = 0;  // with a hard prior: the number of 4-connected components of equal prior label
    std::vector<MergeRecord> merges;
};

// Stage merge over `result.regions` regions, with a hard prior if `hard`: sets the rest of `result`.
void merge_stage(Run& run, i64 edge_count, CostParams params, bool weighted, bool hard, Segmentation& result);

// All stages: writes the base labels to `labels` (height, width). `trace` may be null.
Segmentation segment(Run& run, const Image& image, const Guide& guide, double compactness, i32* labels,
                     Trace* trace);

// The merges of the pixels inside each base region, for counts above the base.
std::vector<MergeRecord> merge_pixels(Run& run, const Image& image, double compactness, const i32* labels);

// Stage cut: the labels of `nodes` nodes after the first `merges` records, numbered by the smallest node of
// each set. Returns the number of labels.
i32 label_nodes(i64 nodes, const MergeRecord* records, i64 merges, i32* labels);

// The tree over labels 0..count-1, from count-1 merges of label pairs. For each label b > 0: `into`, the
// largest label below b of the component that b joins when b stops being the smallest label of its own, and
// `order`, the rank of that merge. Throws std::invalid_argument if the pairs do not form a tree.
void build_tree(i32 count, const i32* a, const i32* b, i32* into, i32* order);

}  // namespace superpixel
