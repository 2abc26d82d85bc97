#include "tile.h"

#include <algorithm>

namespace superpixel {
namespace {

class TileMeasurer {
  public:
    TileMeasurer(Workspace& workspace, const Image& crop, const TilePlace& place, i32 regions, i64 edge_count)
        : workspace_(workspace),
          width_(crop.width),
          height_(crop.height),
          place_(place),
          regions_(static_cast<size_t>(regions)),
          edges_(workspace.memory.edges.data()),
          edge_count_(edge_count),
          first_(regions_),
          is_owned_(regions_, 0),
          local_(regions_, -1) {}

    TileGraph measure(const Guide& guide) {
        find_regions();
        for (i64 i = 0; i < edge_count_; ++i) {
            if (is_owned_[at(edges_[i].a)] != 0) local_[at(edges_[i].b)] = 0;
        }
        TileGraph graph;
        number(graph);
        write_owned(graph, guide);
        return graph;
    }

    // Writes the local numbers of the tile's pixels.
    void write_labels(const i32* regions, i32* labels) const {
        const i64 columns = place_.x1 - place_.x0;
        for (i32 y = place_.y0; y < place_.y1; ++y) {
            workspace_.simd.lookup(local_.data(), regions + static_cast<i64>(y) * width_ + place_.x0, columns,
                                   labels + (y - place_.y0) * columns);
        }
    }

  private:
    static size_t at(i32 region) { return static_cast<size_t>(region); }

    // Notes the first pixel of every region, which regions the tile owns, and which have pixels in it.
    void find_regions() {
        const i64* const first_run = workspace_.memory.row_runs.data();
        const i32* const start = workspace_.memory.run_start.data();
        const i32* const region_of = workspace_.memory.run_region.data();
        size_t next = 0;
        for (i32 y = 0; y < height_; ++y) {
            const bool in_rows = y >= place_.y0 && y < place_.y1;
            for (i64 run = first_run[y]; run < first_run[y + 1]; ++run) {
                const size_t region = at(region_of[run]);
                if (region == next) {  // regions are numbered in the order of their first pixels
                    first_[next++] = (place_.y + y) * place_.image_width + place_.x + start[run];
                    is_owned_[region] = in_rows && start[run] >= place_.x0 && start[run] < place_.x1 ? 1 : 0;
                }
                if (!in_rows || start[run] >= place_.x1) continue;
                const i32 end = run + 1 < first_run[y + 1] ? start[run + 1] : width_;
                if (end > place_.x0) local_[region] = 0;
            }
        }
    }

    void number(TileGraph& graph) {
        i32 next = 0;
        for (size_t region = 0; region < regions_; ++region) {
            if (local_[region] < 0) continue;
            if (is_owned_[region] != 0) graph.owned.push_back(next);
            graph.first.push_back(first_[region]);
            local_[region] = next++;
        }
    }

    void write_owned(TileGraph& graph, const Guide& guide) const {
        Scratch& memory = workspace_.memory;
        graph.degrees.reserve(graph.owned.size());
        graph.sums.reserve(4 * graph.owned.size());
        i64 edge = 0;
        for (size_t region = 0; region < regions_; ++region) {
            const i64 begin = edge;
            while (edge < edge_count_ && at(edges_[edge].a) == region) ++edge;
            if (is_owned_[region] == 0) continue;
            for (i64 i = begin; i < edge; ++i) {
                graph.edges.insert(graph.edges.end(),
                                   {local_[at(edges_[i].b)], edges_[i].len, static_cast<i32>(edges_[i].cs)});
            }
            graph.degrees.push_back(static_cast<i32>(edge - begin));
            const RegionSums& sums = memory.merge.sums[0].data()[region];
            for (const double sum : {sums.n, sums.L, sums.A, sums.B})
                graph.sums.push_back(static_cast<i32>(sum));
            if (guide.importance != nullptr) {
                graph.importance.push_back(static_cast<i32>(32.0 * memory.merge.weights[0].data()[region]));
            }
            if (guide.hard_prior() != nullptr) graph.prior.push_back(memory.prior_labels.data()[region]);
        }
    }

    Workspace& workspace_;
    const i32 width_, height_;
    const TilePlace place_;
    const size_t regions_;
    const Edge* const edges_;
    const i64 edge_count_;
    std::vector<i64> first_;
    std::vector<unsigned char> is_owned_;
    std::vector<i32> local_;  // of each region: its local number, or -1
};

}  // namespace

TileGraph measure_tile(Run& run, const Image& crop, const Guide& guide, double compactness,
                       const TilePlace& place, i32* labels) {
    const Planes planes = smoothed_planes(run, crop, nullptr);
    i32* const all = run.workspace.memory.tile_labels.need(crop.size());
    assign_pixels(run, crop, compactness, planes, all, nullptr);
    const i32 regions = label_components(run, crop, guide.hard_prior(), all);
    const i64 edges = build_graph(run, crop, planes, guide, regions);
    run.begin_step();
    TileMeasurer measurer(run.workspace, crop, place, regions, edges);
    TileGraph graph = measurer.measure(guide);
    measurer.write_labels(all, labels);
    return graph;
}

}  // namespace superpixel
