// Stage graph: the sums of each region, and one edge per pair of adjacent regions.
#include "superpixel/graph.h"

#include <algorithm>

#include "bands.h"
#include "engine.h"

namespace superpixel {
namespace {

// Threads scan bands of rows at the same time. Regions are numbered in raster order of their first pixel, so
// the regions that begin in a band are a range, which the band owns. What a band finds about regions of
// earlier bands is added to these at the end; it is little, because a region is at most three cells high. All
// sums are exact, so their order does not matter.
class GraphBuilder {
  public:
    GraphBuilder(Workspace& workspace, const Image& image, Planes planes, i32 regions)
        : workspace_(workspace),
          planes_(planes),
          width_(image.width),
          height_(image.height),
          regions_(regions),
          bands_{height_, std::min<i32>(height_, workspace.pool.size())},
          first_run_(workspace.memory.row_runs.data()),
          start_(workspace.memory.run_start.data()),
          region_(workspace.memory.run_region.data()) {}

    i64 build() {
        sums_ = workspace_.memory.merge.sums[0].need(regions_);
        head_ = workspace_.memory.edge_head.need(regions_);
        if (workspace_.memory.edge_bands.size() < static_cast<size_t>(bands_.count)) {
            workspace_.memory.edge_bands.resize(static_cast<size_t>(bands_.count));
        }
        owned_.assign(static_cast<size_t>(bands_.count) + 1, regions_);
        find_owned();
        workspace_.pool.each(bands_.count, [&](i64 band) { scan(static_cast<i32>(band)); });
        for (i32 band = 0; band < bands_.count; ++band) add_foreign(band);
        return emit();
    }

  private:
    EdgeBand& band_at(i32 band) { return workspace_.memory.edge_bands[static_cast<size_t>(band)]; }
    i32 end_of(i64 run, i32 y) const { return run + 1 < first_run_[y + 1] ? start_[run + 1] : width_; }
    i32 owner(i32 region) const {
        return static_cast<i32>(std::upper_bound(owned_.begin(), owned_.end() - 1, region) - owned_.begin()) -
               1;
    }

    // owned_[band]: the first region that begins in the band, which is one more than the largest in all rows
    // above.
    void find_owned() {
        std::vector<i32> largest(static_cast<size_t>(bands_.count));
        workspace_.pool.each(bands_.count, [&](i64 band) {
            const i64 begin = first_run_[bands_.begin(band)];
            const i64 end = first_run_[bands_.end(band)];
            largest[static_cast<size_t>(band)] = *std::max_element(region_ + begin, region_ + end);
        });
        i32 next = 0;
        for (size_t band = 0; band < largest.size(); ++band) {
            owned_[band] = next;
            next = std::max(next, largest[band] + 1);
        }
    }

    void scan(i32 band) {
        EdgeBand& out = band_at(band);
        out.count = 0;
        out.foreign.clear();
        out.foreign_sums.clear();
        i16* const contrast = out.contrast.need(width_);
        const i32 owned_begin = owned_[static_cast<size_t>(band)];
        const i32 owned_end = owned_[static_cast<size_t>(band) + 1];
        std::fill(sums_ + owned_begin, sums_ + owned_end, RegionSums{});
        std::fill(head_ + owned_begin, head_ + owned_end, -1);
        for (i32 y = bands_.begin(band); y < bands_.end(band); ++y) {
            scan_row(band, y, contrast);
            if (y > 0) scan_seam(band, y, contrast);
        }
    }

    Planes line(i32 y, i32 x = 0) const { return offset(planes_, static_cast<i64>(y) * width_ + x); }

    // Adds the pixels of a row to their regions' sums, and the sides between its neighbours to the edges.
    void scan_row(i32 band, i32 y, i16* contrast) {
        // contrast[x]: across the side between x-1 and x; from the pixels x-2 and x+1, clamped to the row.
        const auto at = [&](i32 x) {
            workspace_.simd.contrast(line(y, std::max(x - 2, 0)), line(y, std::min(x + 1, width_ - 1)), 1,
                                     contrast + x);
        };
        if (width_ > 1) at(1);
        if (width_ > 3) workspace_.simd.contrast(line(y, 0), line(y, 3), width_ - 3, contrast + 2);
        if (width_ > 2) at(width_ - 1);

        EdgeBand& out = band_at(band);
        const i32 owned_begin = owned_[static_cast<size_t>(band)];
        const i32 runs = static_cast<i32>(first_run_[y + 1] - first_run_[y]);
        auto* const run_sums = reinterpret_cast<i32(*)[4]>(out.run_sums.need(4 * static_cast<i64>(runs)));
        workspace_.simd.run_sums(line(y), start_ + first_run_[y], runs, width_, run_sums);
        i32 before = -1;
        for (i64 run = first_run_[y]; run < first_run_[y + 1]; ++run) {
            const i32 region = region_[run];
            const i32* const sum = run_sums[run - first_run_[y]];
            if (region >= owned_begin) {
                RegionSums& sums = sums_[region];
                sums.n += sum[3];
                sums.L += sum[0];
                sums.A += sum[1];
                sums.B += sum[2];
            } else {
                out.foreign_sums.push_back({region, sum[3], sum[0], sum[1], sum[2]});
            }
            if (before >= 0) add(band, before, region, 1, contrast[start_[run]]);
            before = region;
        }
    }

    // Adds the sides between rows y-1 and y. Their contrast is that between rows y-2 and y+1.
    void scan_seam(i32 band, i32 y, i16* contrast) {
        workspace_.simd.contrast(line(std::max(y - 2, 0)), line(std::min(y + 1, height_ - 1)), width_,
                                 contrast);
        i64 above = first_run_[y - 1];
        i64 below = first_run_[y];
        i32 x = 0;
        while (x < width_) {
            const i32 above_end = end_of(above, y - 1);
            const i32 below_end = end_of(below, y);
            const i32 end = std::min(above_end, below_end);
            if (region_[above] != region_[below]) {
                i32 sum = 0;
                for (i32 i = x; i < end; ++i) sum += contrast[i];
                add(band, region_[above], region_[below], end - x, sum);
            }
            above += above_end == end ? 1 : 0;
            below += below_end == end ? 1 : 0;
            x = end;
        }
    }

    void add(i32 band, i32 p, i32 q, i32 len, i64 cs) {
        const i32 a = std::min(p, q);
        const i32 b = std::max(p, q);
        if (a < owned_[static_cast<size_t>(band)]) {
            band_at(band).foreign.push_back({a, b, len, cs});
        } else {
            add_owned(band_at(band), a, b, len, cs);
        }
    }

    void add_owned(EdgeBand& band, i32 a, i32 b, i32 len, i64 cs) {
        EdgeNode* nodes = band.nodes.data();
        for (i32 at = head_[a]; at >= 0; at = nodes[at].next) {
            if (nodes[at].b == b) {
                nodes[at].len += len;
                nodes[at].cs += cs;
                return;
            }
        }
        nodes = band.nodes.grow(band.count + 1);
        nodes[band.count] = {b, len, cs, head_[a]};
        head_[a] = static_cast<i32>(band.count++);
    }

    // Adds what the band found about earlier bands' regions.
    void add_foreign(i32 band) {
        for (const EdgeBand::ForeignSums& from : band_at(band).foreign_sums) {
            RegionSums& sums = sums_[from.region];
            sums.n += from.n;
            sums.L += from.L;
            sums.A += from.A;
            sums.B += from.B;
        }
        for (const EdgeBand::Foreign& edge : band_at(band).foreign) {
            add_owned(band_at(owner(edge.a)), edge.a, edge.b, edge.len, edge.cs);
        }
    }

    // Writes all lists to one array, sorted by (a, b).
    i64 emit() {
        std::vector<i64> begin(static_cast<size_t>(bands_.count) + 1, 0);
        for (i32 band = 0; band < bands_.count; ++band) {
            begin[static_cast<size_t>(band) + 1] = begin[static_cast<size_t>(band)] + band_at(band).count;
        }
        Edge* const edges = workspace_.memory.edges.need(begin.back());
        workspace_.pool.each(bands_.count, [&](i64 band) {
            const EdgeNode* const nodes = band_at(static_cast<i32>(band)).nodes.data();
            Edge* out = edges + begin[static_cast<size_t>(band)];
            for (i32 a = owned_[static_cast<size_t>(band)]; a < owned_[static_cast<size_t>(band) + 1]; ++a) {
                Edge* const list = out;
                for (i32 at = head_[a]; at >= 0; at = nodes[at].next) {
                    const Edge edge{a, nodes[at].b, nodes[at].len, static_cast<double>(nodes[at].cs)};
                    Edge* place = out++;
                    for (; place > list && place[-1].b > edge.b; --place) *place = place[-1];
                    *place = edge;
                }
            }
        });
        return begin.back();
    }

    Workspace& workspace_;
    const Planes planes_;
    const i32 width_, height_, regions_;
    const Bands bands_;
    const i64* const first_run_;
    const i32* const start_;
    const i32* const region_;
    RegionSums* sums_ = nullptr;
    i32* head_ = nullptr;
    std::vector<i32> owned_;
};

// A node per pixel, an edge per side between two pixels of one base region. Returns the number of edges.
i64 write_pixel_graph(Workspace& workspace, const Image& image, Planes planes, const i32* labels) {
    const i64 pixels = image.size();
    RegionSums* const sums = workspace.memory.merge.sums[0].need(pixels);
    for (i64 i = 0; i < pixels; ++i) {
        sums[i] = {1.0, static_cast<double>(planes.L[i]), static_cast<double>(planes.A[i]),
                   static_cast<double>(planes.B[i])};
    }
    const auto side_contrast = [&](i64 p, i64 q) {
        return static_cast<double>(
            contrast(planes.L[p] - planes.L[q], planes.A[p] - planes.A[q], planes.B[p] - planes.B[q]));
    };
    // Edges are counted first, to size the array: there may be up to twice as many as pixels.
    i64 sides = 0;
    for (i64 i = 0; i < pixels; ++i) {
        sides += (i % image.width != 0 && labels[i] == labels[i - 1] ? 1 : 0) +
                 (i >= image.width && labels[i] == labels[i - image.width] ? 1 : 0);
    }
    Edge* const edges = workspace.memory.edges.need(sides);
    i64 count = 0;
    for (i32 y = 0; y < image.height; ++y) {
        const i64 line = static_cast<i64>(y) * image.width;
        const i64 above = static_cast<i64>(std::max(y - 1, 0)) * image.width;
        const i64 two_below = static_cast<i64>(std::min(y + 2, image.height - 1)) * image.width;
        for (i32 x = 0; x < image.width; ++x) {
            const i64 i = line + x;
            const i32 a = static_cast<i32>(i);
            if (x + 1 < image.width && labels[i] == labels[i + 1]) {
                edges[count++] = {
                    a, a + 1, 1,
                    side_contrast(line + std::max(x - 1, 0), line + std::min(x + 2, image.width - 1))};
            }
            if (y + 1 < image.height && labels[i] == labels[i + image.width]) {
                edges[count++] = {a, a + image.width, 1, side_contrast(above + x, two_below + x)};
            }
        }
    }
    return count;
}

}  // namespace

i64 build_graph(Run& run, const Image& image, Planes planes, i32 regions) {
    i64 edges = 0;
    run.stage(kGraph, [&] { edges = GraphBuilder(run.workspace, image, planes, regions).build(); });
    return edges;
}

i64 build_pixel_graph(Run& run, const Image& image, Planes planes, const i32* labels) {
    i64 edges = 0;
    run.stage(kGraph, [&] { edges = write_pixel_graph(run.workspace, image, planes, labels); });
    return edges;
}

}  // namespace superpixel
