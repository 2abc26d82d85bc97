// Stage graph: the sums of each region, and one edge per pair of adjacent regions.
#include "superpixel/graph.h"

#include <algorithm>
#include <numeric>

#include "bands.h"
#include "engine.h"
#include "superpixel/guidance.h"

namespace superpixel {
namespace {

// Threads scan bands of rows at the same time. Regions are numbered in raster order of their first pixel, so
// the regions that begin in a band are a range, which the band owns. What a band finds about regions of
// earlier bands is added to these at the end; it is little, because a region is at most three cells high. All
// sums are exact, so their order does not matter.
class GraphBuilder {
  public:
    GraphBuilder(Workspace& workspace, const Image& image, Planes planes, const Guide& guide, i32 regions)
        : workspace_(workspace),
          planes_(planes),
          guide_(guide),
          levels_(workspace.memory.edge_levels.data()),
          width_(image.width),
          height_(image.height),
          regions_(regions),
          words_(bitmap_words(image.width)),
          bands_{height_, std::min<i32>(height_, workspace.pool.size())},
          starts_(workspace.memory.row_starts.data()),
          seams_(workspace.memory.row_seams.data()),
          first_run_(workspace.memory.row_runs.data()),
          start_(workspace.memory.run_start.data()),
          region_(workspace.memory.run_region.data()) {}

    i64 build() {
        sums_ = workspace_.memory.merge.sums[0].need(regions_);
        lines_ = workspace_.memory.edge_lines.need(regions_);
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
    i32 owner(i32 region) const {
        return static_cast<i32>(std::upper_bound(owned_.begin(), owned_.end() - 1, region) - owned_.begin()) -
               1;
    }

    // owned_[band]: the first region that begins in the band, which is one more than the largest in all rows
    // above.
    void find_owned() {
        if (bands_.count == 1) {
            owned_[0] = 0;
            return;
        }
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
        out.crowded.clear();
        out.foreign.clear();
        out.foreign_sums.clear();
        out.contrast.need(width_);
        out.contrast_before.need(static_cast<i64>(width_) + 17);
        out.found.need(width_);
        out.strength.need(guide_.edges == nullptr ? 0 : static_cast<i64>(width_) + 16);
        const i32 owned_begin = owned_[static_cast<size_t>(band)];
        out.regions_end = owned_begin;
        for (i32 y = bands_.begin(band); y < bands_.end(band); ++y) {
            scan_row(band, y);
            if (y > 0) scan_seam(band, y);
        }
    }

    // Row by row, because this memory is used again at once.
    void begin_regions(i32 begin, i32 end) {
        for (i32 region = begin; region < end; ++region) {
            sums_[region] = {};
            std::fill_n(lines_[region].b, EdgeLine::kRoom, -1);
            lines_[region].count = 0;
        }
    }

    Planes line(i32 y, i32 x = 0) const { return offset(planes_, static_cast<i64>(y) * width_ + x); }

    // Adds the pixels of a row to their regions' sums, and the sides between its neighbours to the edges.
    void scan_row(i32 band, i32 y) {
        EdgeBand& out = band_at(band);
        i16* const contrast = out.contrast.data();
        // contrast[x]: across the side between x-1 and x; from the pixels x-2 and x+1, clamped to the row.
        const auto at = [&](i32 x) {
            workspace_.simd.contrast(line(y, std::max(x - 2, 0)), line(y, std::min(x + 1, width_ - 1)), 1,
                                     contrast + x);
        };
        if (width_ > 1) at(1);
        if (width_ > 3) workspace_.simd.contrast(line(y, 0), line(y, 3), width_ - 3, contrast + 2);
        if (width_ > 2) at(width_ - 1);

        const i32 owned_begin = owned_[static_cast<size_t>(band)];
        const i32 runs = static_cast<i32>(first_run_[y + 1] - first_run_[y]);
        const i32* const starts = start_ + first_run_[y];
        const i32* const regions = region_ + first_run_[y];
        FoundEdge* const found = out.found.data();
        const i32 count = runs - 1;
        i32 largest = regions[0];
        for (i32 i = 0; i < count; ++i) {
            const i32 p = regions[i], q = regions[i + 1];
            largest = std::max(largest, q);
            found[i] = {std::min(p, q), std::max(p, q), 1, contrast[starts[i + 1]]};
        }
        begin_regions(out.regions_end, largest + 1);
        out.regions_end = std::max(out.regions_end, largest + 1);
        ForeignSums* const foreign = out.row_foreign_sums.need(runs);
        const i32 others =
            workspace_.simd.run_sums(line(y), starts, regions, runs, width_, owned_begin, sums_, foreign);
        out.foreign_sums.insert(out.foreign_sums.end(), foreign, foreign + others);
        if (guide_.edges != nullptr) add_row_excess(found, count, y);
        add(out, count, owned_begin);
    }

    // Adds what the edge map says about the sides of a row: found[i] is the side where run i + 1 begins.
    void add_row_excess(FoundEdge* found, i32 count, i32 y) const {
        const unsigned char* const e = guide_.edges + static_cast<i64>(y) * width_;
        const i32* const starts = start_ + first_run_[y] + 1;
        for (i32 i = 0; i < count; ++i) {
            const i32 x = starts[i];
            found[i].cs +=
                guide_.edge_weight * edge_excess(e[x - 1], e[x], levels_[found[i].a], levels_[found[i].b]);
        }
    }

    // Adds the sides between rows y-1 and y. Their contrast is that between rows y-2 and y+1.
    void scan_seam(i32 band, i32 y) {
        EdgeBand& out = band_at(band);
        u16* const before = out.contrast_before.data();
        workspace_.simd.contrast_before(line(std::max(y - 2, 0)), line(std::min(y + 1, height_ - 1)), width_,
                                        before);
        const u64* const starts = starts_ + y * words_;
        const i32* const regions = region_ + first_run_[y];
        const i32* const regions_above = region_ + first_run_[y - 1];
        i32 count;
        if (guide_.edges == nullptr) {
            count = workspace_.simd.seam_edges(starts, starts - words_, seams_ + y * words_, width_, regions,
                                               regions_above, before, out.found.data());
        } else {
            const unsigned char* const e = guide_.edges + static_cast<i64>(y) * width_;
            unsigned char* const strength = out.strength.data();
            for (i32 x = 0; x < width_; ++x) strength[x] = std::max(e[x], e[x - width_]);
            count = workspace_.simd.guided_seam_edges(
                starts, starts - words_, seams_ + y * words_, width_, regions, regions_above, before,
                {strength, levels_, guide_.edge_weight}, out.found.data());
        }
        add(out, count, owned_[static_cast<size_t>(band)]);
    }

    // Adds the first `count` of the found edges.
    void add(EdgeBand& band, i32 count, i32 owned_begin) {
        FoundEdge* const found = band.found.data();
        const i32 left = workspace_.simd.add_edges(lines_, found, count, owned_begin);
        for (i32 i = 0; i < left; ++i)
            (found[i].a < owned_begin ? band.foreign : band.crowded).push_back(found[i]);
    }

    // Adds what the band found about earlier bands' regions.
    void add_foreign(i32 band) {
        for (const ForeignSums& from : band_at(band).foreign_sums) {
            RegionSums& sums = sums_[from.region];
            sums.n += from.n;
            sums.L += from.L;
            sums.A += from.A;
            sums.B += from.B;
        }
        std::vector<FoundEdge>& foreign = band_at(band).foreign;
        const i32 left =
            workspace_.simd.add_edges(lines_, foreign.data(), static_cast<i32>(foreign.size()), 0);
        for (i32 i = 0; i < left; ++i) {
            const FoundEdge& edge = foreign[static_cast<size_t>(i)];
            band_at(owner(edge.a)).crowded.push_back(edge);
        }
    }

    // Sorts edges, and joins those with equal ends.
    static void join(std::vector<FoundEdge>& edges) {
        std::sort(edges.begin(), edges.end(),
                  [](const FoundEdge& p, const FoundEdge& q) { return p.a != q.a ? p.a < q.a : p.b < q.b; });
        size_t kept = 0;
        for (const FoundEdge& edge : edges) {
            if (kept > 0 && edges[kept - 1].a == edge.a && edges[kept - 1].b == edge.b) {
                edges[kept - 1].len += edge.len;
                edges[kept - 1].cs += edge.cs;
            } else {
                edges[kept++] = edge;
            }
        }
        edges.resize(kept);
    }

    // Writes all edges to one array, sorted by a.
    i64 emit() {
        std::vector<i64> begin(static_cast<size_t>(bands_.count) + 1, 0);
        workspace_.pool.each(bands_.count, [&](i64 band) {
            std::vector<FoundEdge>& crowded = band_at(static_cast<i32>(band)).crowded;
            join(crowded);
            i64 count = static_cast<i64>(crowded.size());
            for (i32 a = owned_[static_cast<size_t>(band)]; a < owned_[static_cast<size_t>(band) + 1]; ++a) {
                count += lines_[a].count;
            }
            begin[static_cast<size_t>(band) + 1] = count;
        });
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        Edge* const edges = workspace_.memory.edges.need(begin.back());
        workspace_.pool.each(bands_.count, [&](i64 band) {
            Edge* out = edges + begin[static_cast<size_t>(band)];
            const std::vector<FoundEdge>& crowded = band_at(static_cast<i32>(band)).crowded;
            auto next = crowded.begin();
            for (i32 a = owned_[static_cast<size_t>(band)]; a < owned_[static_cast<size_t>(band) + 1]; ++a) {
                const EdgeLine& line = lines_[a];
                for (i32 i = 0; i < line.count; ++i) {
                    *out++ = {a, line.b[i], line.len[i], static_cast<double>(line.cs[i])};
                }
                for (; next != crowded.end() && next->a == a; ++next) {
                    *out++ = {a, next->b, next->len, static_cast<double>(next->cs)};
                }
            }
            if (guide_.soft_prior() != nullptr) add_prior(edges + begin[static_cast<size_t>(band)], out);
        });
        return begin.back();
    }

    // Adds what a soft prior says about each side of the edges between regions of unequal label.
    void add_prior(Edge* edge, const Edge* end) const {
        const i32* const labels = workspace_.memory.prior_labels.data();
        for (; edge < end; ++edge) {
            if (labels[edge->a] == labels[edge->b]) continue;
            edge->cs += static_cast<double>(guide_.prior_weight) * edge->len;
        }
    }

    Workspace& workspace_;
    const Planes planes_;
    const Guide& guide_;
    const unsigned char* const levels_;  // of each region, with an edge map
    const i32 width_, height_, regions_;
    const i64 words_;  // per row of the bitmaps
    const Bands bands_;
    const u64* const starts_;
    const u64* const seams_;
    const i64* const first_run_;
    const i32* const start_;
    const i32* const region_;
    RegionSums* sums_ = nullptr;
    EdgeLine* lines_ = nullptr;
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

i64 build_graph(Run& run, const Image& image, Planes planes, const Guide& guide, i32 regions) {
    i64 edges = 0;
    run.stage(kGraph, [&] {
        measure_guide(run.workspace, image, guide, regions);
        edges = GraphBuilder(run.workspace, image, planes, guide, regions).build();
    });
    return edges;
}

i64 build_pixel_graph(Run& run, const Image& image, Planes planes, const i32* labels) {
    i64 edges = 0;
    run.stage(kGraph, [&] { edges = write_pixel_graph(run.workspace, image, planes, labels); });
    return edges;
}

}  // namespace superpixel
