// Stage components.
#include <algorithm>
#include <numeric>

#include "bands.h"
#include "engine.h"
#include "row_tasks.h"
#include "union_find.h"

namespace superpixel {
namespace {

// Union-find over the runs of equal labels in each row. Runs are numbered in raster order and the smaller
// root wins, so the root of a set is the run of its first pixel.
class Components {
  public:
    Components(Workspace& workspace, const Image& image, i32* labels)
        : workspace_(workspace),
          labels_(labels),
          width_(image.width),
          height_(image.height),
          bands_{height_, std::min<i32>(height_, workspace.pool.size())} {}

    i32 number() {
        find_runs();
        unite_seams();
        return number_regions();
    }

  private:
    const i32* row(i32 y) const { return labels_ + static_cast<i64>(y) * width_; }

    void find_runs() {
        i64* const first = workspace_.memory.row_runs.need(height_ + 1);
        i32* const scratch = workspace_.memory.row_scratch.need(static_cast<i64>(width_) * bands_.count);
        workspace_.pool.each(bands_.count, [&](i64 band) {
            for (i32 y = bands_.begin(band); y < bands_.end(band); ++y) {
                first[y + 1] = workspace_.simd.run_starts(row(y), width_, scratch + band * width_);
            }
        });
        first[0] = 0;
        std::partial_sum(first, first + height_ + 1, first);
        const i64 runs = first[height_];
        // run_starts may write past a row's last run, so each band fills a scratch row first: its last row
        // must not touch the next band.
        i32* const start = workspace_.memory.run_start.need(runs + 1);
        parent_ = workspace_.memory.run_parent.need(runs);
        workspace_.memory.run_region.need(runs);
        workspace_.pool.each(bands_.count, [&](i64 band) {
            for (i32 y = bands_.begin(band); y < bands_.end(band); ++y) {
                const i32 count = workspace_.simd.run_starts(row(y), width_, scratch + band * width_);
                std::copy_n(scratch + band * width_, count, start + first[y]);
                std::iota(parent_ + first[y], parent_ + first[y + 1], static_cast<i32>(first[y]));
                if (y > bands_.begin(band)) unite_rows(y);
            }
        });
    }

    void unite_seams() {
        for (i32 band = 1; band < bands_.count; ++band) unite_rows(bands_.begin(band));
    }

    // Unites the runs of row y with those of the same label above them.
    void unite_rows(i32 y) {
        const i64* const first = workspace_.memory.row_runs.data();
        const i32* const start = workspace_.memory.run_start.data();
        const auto end_of = [&](i64 run, i32 line) {
            return run + 1 < first[line + 1] ? start[run + 1] : width_;
        };
        i64 above = first[y - 1];
        for (i64 run = first[y]; run < first[y + 1]; ++run) {
            const i32 label = row(y)[start[run]];
            const i32 end = end_of(run, y);
            while (true) {
                if (row(y - 1)[start[above]] == label) unite(static_cast<i32>(run), static_cast<i32>(above));
                const i32 above_end = end_of(above, y - 1);
                // If the run above ends first or together with this one, continue with the next run above.
                if (above_end <= end) ++above;
                if (above_end >= end) break;
            }
        }
    }

    void unite(i32 run, i32 above) {
        const i32 a = find_root(parent_, run);
        const i32 b = find_root(parent_, above);
        if (a < b) {
            parent_[b] = a;
        } else {
            parent_[a] = b;
        }
    }

    i32 number_regions() {
        const i64* const first = workspace_.memory.row_runs.data();
        const i32* const start = workspace_.memory.run_start.data();
        i32* const region = workspace_.memory.run_region.data();
        std::vector<i32> roots(static_cast<size_t>(bands_.count) + 1, 0);
        const auto runs_of = [&](i64 band, auto&& body) {
            for (i64 run = first[bands_.begin(band)]; run < first[bands_.end(band)]; ++run) body(run);
        };
        workspace_.pool.each(bands_.count, [&](i64 band) {
            i32 count = 0;
            runs_of(band, [&](i64 run) { count += parent_[run] == run ? 1 : 0; });
            roots[static_cast<size_t>(band) + 1] = count;
        });
        std::partial_sum(roots.begin(), roots.end(), roots.begin());
        workspace_.pool.each(bands_.count, [&](i64 band) {
            i32 next = roots[static_cast<size_t>(band)];
            runs_of(band, [&](i64 run) {
                if (parent_[run] == run) region[run] = next++;
            });
        });
        row_tasks(workspace_.pool, height_, [&](i32 begin, i32 end) {
            for (i32 y = begin; y < end; ++y) {
                for (i64 run = first[y]; run < first[y + 1]; ++run) {
                    i32 root = parent_[run];
                    while (parent_[root] != root) root = parent_[root];
                    if (root != run) region[run] = region[root];
                }
                workspace_.simd.fill_runs(start + first[y], region + first[y],
                                          static_cast<i32>(first[y + 1] - first[y]), width_,
                                          labels_ + static_cast<i64>(y) * width_);
            }
        });
        return roots.back();
    }

    Workspace& workspace_;
    i32* const labels_;
    const i32 width_, height_;
    const Bands bands_;
    i32* parent_ = nullptr;
};

}  // namespace

i32 label_components(Run& run, const Image& image, i32* labels) {
    i32 regions = 0;
    run.stage(kComponents, [&] { regions = Components(run.workspace, image, labels).number(); });
    return regions;
}

}  // namespace superpixel
