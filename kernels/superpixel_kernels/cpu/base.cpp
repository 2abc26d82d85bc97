// Stages color, smooth, update, assign and components.
#include <algorithm>
#include <numeric>

#include "engine.h"
#include "superpixel/slic.h"

namespace superpixel {
namespace {

constexpr i32 kRowsPerTask = 32;

// Calls body(first row, end row) for bands of rows, on all threads.
template <class F>
void row_tasks(ThreadPool& pool, i32 height, F&& body) {
    const i64 tasks = (height + kRowsPerTask - 1) / kRowsPerTask;
    pool.each(tasks, [&](i64 task) {
        const i32 begin = static_cast<i32>(task) * kRowsPerTask;
        body(begin, std::min(height, begin + kRowsPerTask));
    });
}

Planes planes_of(Buffer<i16>& buffer, i64 pixels) {
    const i64 plane = pixels + kPlanePadding;
    i16* const data = buffer.need(3 * plane);
    // The padding is read, and what it holds ignored; but it must not overflow the arithmetic.
    for (i64 end = plane; end <= 3 * plane; end += plane)
        std::fill(data + end - kPlanePadding, data + end, i16{0});
    return {data, data + plane, data + 2 * plane};
}

Planes offset(Planes planes, i64 pixels) { return {planes.L + pixels, planes.A + pixels, planes.B + pixels}; }

std::vector<i16> copy_of(Planes planes, i64 pixels) {
    std::vector<i16> copy(static_cast<size_t>(3 * pixels));
    std::copy_n(planes.L, pixels, copy.begin());
    std::copy_n(planes.A, pixels, copy.begin() + pixels);
    std::copy_n(planes.B, pixels, copy.begin() + 2 * pixels);
    return copy;
}

// Stages update and assign. The sums that an update needs are taken in the assignment before it, while the
// pixels are in registers; "update" is then the division alone.
class Slic {
  public:
    Slic(Run& run, const Image& image, const Settings& settings, Planes planes)
        : run_(run),
          workspace_(run.workspace),
          planes_(planes),
          width_(image.width),
          height_(image.height),
          step_(grid_step(static_cast<i64>(image.width) * image.height)),
          m2_(settings.m2()),
          nx_(grid_cells(image.width, step_)),
          ny_(grid_cells(image.height, step_)),
          // Each band of cell rows sums into memory of its own, one cell row wider on both sides.
          bands_(std::min<i32>(ny_, workspace_.pool.size() == 1 ? 1 : 2 * workspace_.pool.size())) {}

    void iterate(i32* labels, Trace* trace) {
        Center* const centers = workspace_.memory.centers.need(cells());
        workspace_.memory.sums.need(sums_begin(bands_));
        run_.stage(kUpdate, [&] { sum_own_cells(); });
        for (i32 iteration = 0; iteration < kSlicIterations; ++iteration) {
            const bool last = iteration + 1 == kSlicIterations;
            run_.stage(kUpdate, [&] { update(centers, iteration == 0); });
            run_.stage(kAssign, [&] { assign(centers, last || trace != nullptr ? labels : nullptr, !last); });
            if (trace != nullptr) {
                trace->centers.emplace_back(centers, centers + cells());
                trace->assign.emplace_back(labels, labels + static_cast<i64>(width_) * height_);
            }
        }
    }

  private:
    i64 cells() const { return static_cast<i64>(nx_) * ny_; }
    i32 band_begin(i32 band) const { return static_cast<i32>(static_cast<i64>(ny_) * band / bands_); }
    // A band's sums: its cell rows and one more on each side, even where that lies outside the grid.
    i64 sums_begin(i32 band) const { return static_cast<i64>(band_begin(band) + 2 * band) * nx_; }
    CenterSums* sums_row(i32 band, i32 cell_y) {
        return workspace_.memory.sums.data() + sums_begin(band) +
               static_cast<i64>(cell_y - band_begin(band) + 1) * nx_;
    }
    i32 cell_end(i32 cell, i32 cells, i32 side) const {
        return cell + 1 == cells ? side : (cell + 1) * step_;
    }

    void clear_sums(i32 band) {
        std::fill(workspace_.memory.sums.data() + sums_begin(band),
                  workspace_.memory.sums.data() + sums_begin(band + 1), CenterSums{});
    }

    void sum_own_cells() {
        i32* const columns = workspace_.memory.row_scratch.need(3 * static_cast<i64>(width_) * bands_);
        workspace_.pool.each(bands_, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            clear_sums(band);
            i32* const L = columns + 3 * task * width_;
            i32* const A = L + width_;
            i32* const B = A + width_;
            for (i32 cell_y = band_begin(band); cell_y < band_begin(band + 1); ++cell_y) {
                const i32 y0 = cell_y * step_;
                const i32 rows = cell_end(cell_y, ny_, height_) - y0;
                const Planes at = offset(planes_, static_cast<i64>(y0) * width_);
                workspace_.simd.column_sums(at.L, width_, rows, L);
                workspace_.simd.column_sums(at.A, width_, rows, A);
                workspace_.simd.column_sums(at.B, width_, rows, B);
                CenterSums* const sums = sums_row(band, cell_y);
                for (i32 cell_x = 0; cell_x < nx_; ++cell_x) {
                    const i32 x0 = cell_x * step_;
                    const i32 x1 = cell_end(cell_x, nx_, width_);
                    const i64 columns_here = x1 - x0;
                    CenterSums sum{};
                    sum.n = static_cast<i32>(columns_here) * rows;
                    for (i32 x = x0; x < x1; ++x) {
                        sum.L += L[x];
                        sum.A += A[x];
                        sum.B += B[x];
                    }
                    // Sums of 0, 1, 2, ... shifted to the cell's place.
                    sum.x = rows * (columns_here * x0 + columns_here * (columns_here - 1) / 2);
                    sum.y = columns_here *
                            (static_cast<i64>(rows) * y0 + static_cast<i64>(rows) * (rows - 1) / 2);
                    sums[cell_x] = sum;
                }
            }
        });
    }

    void update(Center* centers, bool first) {
        workspace_.pool.each(bands_, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            for (i32 cell_y = band_begin(band); cell_y < band_begin(band + 1); ++cell_y) {
                CenterSums* const own = sums_row(band, cell_y);
                const auto add = [&](const CenterSums* other) {
                    for (i32 x = 0; x < nx_; ++x) {
                        own[x].n += other[x].n;
                        own[x].L += other[x].L;
                        own[x].A += other[x].A;
                        own[x].B += other[x].B;
                        own[x].x += other[x].x;
                        own[x].y += other[x].y;
                    }
                };
                // Bands are at least one cell row high, so a row's pixels lie in its own band and the two
                // beside it.
                if (!first && band > 0 && cell_y == band_begin(band)) add(sums_row(band - 1, cell_y));
                if (!first && band + 1 < bands_ && cell_y + 1 == band_begin(band + 1))
                    add(sums_row(band + 1, cell_y));
                Center* const out = centers + static_cast<i64>(cell_y) * nx_;
                for (i32 x = 0; x < nx_; ++x) {
                    const CenterSums& sum = own[x];
                    if (sum.n == 0) continue;
                    out[x] = {rounded_mean(sum.L, sum.n), rounded_mean(sum.A, sum.n),
                              rounded_mean(sum.B, sum.n), rounded_mean(4 * sum.x, sum.n),
                              rounded_mean(4 * sum.y, sum.n)};
                }
            }
        });
    }

    void assign(const Center* centers, i32* labels, bool with_sums) {
        workspace_.pool.each(bands_, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            if (with_sums) clear_sums(band);
            for (i32 cell_y = band_begin(band); cell_y < band_begin(band + 1); ++cell_y) {
                workspace_.simd.assign({planes_, width_, height_, step_, m2_, nx_, ny_, cell_y, centers,
                                        with_sums ? sums_row(band, cell_y - 1) : nullptr, labels});
            }
        });
    }

    Run& run_;
    Workspace& workspace_;
    const Planes planes_;
    const i32 width_, height_, step_, m2_, nx_, ny_, bands_;
};

// Stage components: union-find over the runs of equal labels in each row. Run numbers grow in raster order
// and the smaller root wins, so a set's root is the run of its first pixel.
class Components {
  public:
    Components(Workspace& workspace, const Image& image, i32* labels)
        : workspace_(workspace),
          labels_(labels),
          width_(image.width),
          height_(image.height),
          bands_(std::min<i32>(height_, workspace.pool.size())) {}

    i32 number() {
        find_runs();
        unite_seams();
        return number_regions();
    }

  private:
    i32 band_begin(i32 band) const { return static_cast<i32>(static_cast<i64>(height_) * band / bands_); }
    const i32* row(i32 y) const { return labels_ + static_cast<i64>(y) * width_; }

    void find_runs() {
        i64* const first = workspace_.memory.row_runs.need(height_ + 1);
        i32* const scratch = workspace_.memory.row_scratch.need(static_cast<i64>(width_) * bands_);
        workspace_.pool.each(bands_, [&](i64 band) {
            for (i32 y = band_begin(static_cast<i32>(band)); y < band_begin(static_cast<i32>(band) + 1);
                 ++y) {
                first[y + 1] = workspace_.simd.run_starts(row(y), width_, scratch + band * width_);
            }
        });
        first[0] = 0;
        std::partial_sum(first, first + height_ + 1, first);
        const i64 runs = first[height_];
        // run_starts may write past a row's last run; the rows are filled in order within a band, and
        // `scratch` keeps a band's last row from touching the next band.
        i32* const start = workspace_.memory.run_start.need(runs + 1);
        parent_ = workspace_.memory.run_parent.need(runs);
        workspace_.memory.run_region.need(runs);
        workspace_.pool.each(bands_, [&](i64 band) {
            for (i32 y = band_begin(static_cast<i32>(band)); y < band_begin(static_cast<i32>(band) + 1);
                 ++y) {
                const i32 count = workspace_.simd.run_starts(row(y), width_, scratch + band * width_);
                std::copy_n(scratch + band * width_, count, start + first[y]);
                std::iota(parent_ + first[y], parent_ + first[y + 1], static_cast<i32>(first[y]));
                if (y > band_begin(static_cast<i32>(band))) unite_rows(y);
            }
        });
    }

    void unite_seams() {
        for (i32 band = 1; band < bands_; ++band) unite_rows(band_begin(band));
    }

    i32 find(i32 run) {
        while (parent_[run] != run) {
            parent_[run] = parent_[parent_[run]];
            run = parent_[run];
        }
        return run;
    }

    // Unites the runs of row y with those of equal label above them.
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
                // Above ends first, or with this run: go on to the next above. It may end with the row.
                if (above_end <= end) ++above;
                if (above_end >= end) break;
            }
        }
    }

    void unite(i32 run, i32 above) {
        const i32 a = find(run);
        const i32 b = find(above);
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
        std::vector<i32> roots(static_cast<size_t>(bands_) + 1, 0);
        const auto runs_of = [&](i64 band, auto&& body) {
            const i32 begin = band_begin(static_cast<i32>(band));
            const i32 end = band_begin(static_cast<i32>(band) + 1);
            for (i64 run = first[begin]; run < first[end]; ++run) body(run);
        };
        workspace_.pool.each(bands_, [&](i64 band) {
            i32 count = 0;
            runs_of(band, [&](i64 run) { count += parent_[run] == run ? 1 : 0; });
            roots[static_cast<size_t>(band) + 1] = count;
        });
        std::partial_sum(roots.begin(), roots.end(), roots.begin());
        workspace_.pool.each(bands_, [&](i64 band) {
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
    const i32 width_, height_, bands_;
    i32* parent_ = nullptr;
};

}  // namespace

Planes smoothed_planes(Run& run, const Image& image, Trace* trace) {
    Workspace& workspace = run.workspace;
    const i64 pixels = static_cast<i64>(image.width) * image.height;
    const Planes lab = planes_of(workspace.memory.color_planes, pixels);
    const Planes smooth = planes_of(workspace.memory.smooth_planes, pixels);
    const ColorTables& tables = color_tables();
    run.stage(kColor, [&] {
        row_tasks(workspace.pool, image.height, [&](i32 begin, i32 end) {
            const i64 first = static_cast<i64>(begin) * image.width;
            workspace.simd.color(tables, image.pixels + first * image.channels, image.channels,
                                 static_cast<i64>(end - begin) * image.width, offset(lab, first));
        });
    });
    const i64 tasks = (image.height + kRowsPerTask - 1) / kRowsPerTask;
    i16* const scratch = workspace.memory.smooth_scratch.need(tasks * image.width);
    run.stage(kSmooth, [&] {
        row_tasks(workspace.pool, image.height, [&](i32 begin, i32 end) {
            i16* const line = scratch + static_cast<i64>(begin / kRowsPerTask) * image.width;
            const auto smooth_plane = [&](const i16* from, i16* to) {
                for (i32 y = begin; y < end; ++y) {
                    const auto row = [&](i32 at) {
                        return from + static_cast<i64>(clamp(at, 0, image.height - 1)) * image.width;
                    };
                    workspace.simd.smooth(row(y - 1), row(y), row(y + 1), image.width,
                                          to + static_cast<i64>(y) * image.width, line);
                }
            };
            smooth_plane(lab.L, smooth.L);
            smooth_plane(lab.A, smooth.A);
            smooth_plane(lab.B, smooth.B);
        });
    });
    if (trace != nullptr) {
        trace->color = copy_of(lab, pixels);
        trace->smooth = copy_of(smooth, pixels);
    }
    return smooth;
}

i32 base_regions(Run& run, const Image& image, const Settings& settings, Planes planes, i32* labels,
                 Trace* trace) {
    Slic(run, image, settings, planes).iterate(labels, trace);
    i32 regions = 0;
    run.stage(kComponents, [&] { regions = Components(run.workspace, image, labels).number(); });
    return regions;
}

}  // namespace superpixel
