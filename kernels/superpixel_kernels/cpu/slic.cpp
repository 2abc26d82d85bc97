// Stages update and assign.
#include "superpixel/slic.h"

#include <algorithm>

#include "bands.h"
#include "engine.h"

namespace superpixel {
namespace {

// An update needs the sums over each centre's pixels. The assignment before it takes them, while the pixels
// are in registers, so that stage update only divides.
class Slic {
  public:
    Slic(Run& run, const Image& image, double compactness, Planes planes)
        : run_(run),
          workspace_(run.workspace),
          planes_(planes),
          width_(image.width),
          height_(image.height),
          m2_(slic_m2(compactness)),
          grid_(image.grid()),
          bands_{grid_.ny,
                 std::min<i32>(grid_.ny, workspace_.pool.size() == 1 ? 1 : 2 * workspace_.pool.size())} {}

    void iterate(i32* labels, Trace* trace) {
        Center* const centers = workspace_.memory.centers.need(cells());
        workspace_.memory.sums.need(sums_begin(bands_.count));
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
    i64 cells() const { return static_cast<i64>(grid_.nx) * grid_.ny; }
    // Each band of cell rows has sums of its own: for its cell rows and one more on each side, because its
    // pixels may choose centres there. The first and the last band have these rows too, unused.
    i64 sums_begin(i32 band) const { return static_cast<i64>(bands_.begin(band) + 2 * band) * grid_.nx; }
    CenterSums* sums_row(i32 band, i32 cell_y) {
        return workspace_.memory.sums.data() + sums_begin(band) +
               static_cast<i64>(cell_y - bands_.begin(band) + 1) * grid_.nx;
    }
    i32 cell_end(i32 cell, i32 cells, i32 side) const {
        return cell + 1 == cells ? side : (cell + 1) * grid_.step;
    }

    void clear_sums(i32 band) {
        std::fill(workspace_.memory.sums.data() + sums_begin(band),
                  workspace_.memory.sums.data() + sums_begin(band + 1), CenterSums{});
    }

    // The sums for the first update: each pixel belongs to its own cell's centre.
    void sum_own_cells() {
        i16* const columns = workspace_.memory.row_scratch.need(3 * static_cast<i64>(width_) * bands_.count);
        workspace_.pool.each(bands_.count, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            clear_sums(band);
            i16* const L = columns + 3 * task * width_;
            i16* const A = L + width_;
            i16* const B = A + width_;
            for (i32 cell_y = bands_.begin(band); cell_y < bands_.end(band); ++cell_y) {
                const i32 y0 = cell_y * grid_.step;
                const i32 rows = cell_end(cell_y, grid_.ny, height_) - y0;
                const Planes at = offset(planes_, static_cast<i64>(y0) * width_);
                workspace_.simd.column_sums(at.L, width_, rows, L);
                workspace_.simd.column_sums(at.A, width_, rows, A);
                workspace_.simd.column_sums(at.B, width_, rows, B);
                CenterSums* const sums = sums_row(band, cell_y);
                for (i32 cell_x = 0; cell_x < grid_.nx; ++cell_x) {
                    const i32 x0 = cell_x * grid_.step;
                    const i32 x1 = cell_end(cell_x, grid_.nx, width_);
                    const i64 columns_here = x1 - x0;
                    CenterSums sum{};
                    sum.n = static_cast<i32>(columns_here) * rows;
                    for (i32 x = x0; x < x1; ++x) {
                        sum.L += L[x];
                        sum.A += A[x];
                        sum.B += B[x];
                    }
                    // Arithmetic series, from x0 and from y0.
                    sum.x = rows * (columns_here * x0 + columns_here * (columns_here - 1) / 2);
                    sum.y = columns_here *
                            (static_cast<i64>(rows) * y0 + static_cast<i64>(rows) * (rows - 1) / 2);
                    sums[cell_x] = sum;
                }
            }
        });
    }

    void update(Center* centers, bool first) {
        workspace_.pool.each(bands_.count, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            for (i32 cell_y = bands_.begin(band); cell_y < bands_.end(band); ++cell_y) {
                CenterSums* const own = sums_row(band, cell_y);
                const auto add = [&](const CenterSums* other) {
                    for (i32 x = 0; x < grid_.nx; ++x) {
                        own[x].n += other[x].n;
                        own[x].L += other[x].L;
                        own[x].A += other[x].A;
                        own[x].B += other[x].B;
                        own[x].x += other[x].x;
                        own[x].y += other[x].y;
                    }
                };
                // Bands are at least one cell row high, so only the two adjacent bands add to a row.
                if (!first && band > 0 && cell_y == bands_.begin(band)) add(sums_row(band - 1, cell_y));
                if (!first && band + 1 < bands_.count && cell_y + 1 == bands_.end(band))
                    add(sums_row(band + 1, cell_y));
                Center* const out = centers + static_cast<i64>(cell_y) * grid_.nx;
                for (i32 x = 0; x < grid_.nx; ++x) {
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
        workspace_.pool.each(bands_.count, [&](i64 task) {
            const i32 band = static_cast<i32>(task);
            if (with_sums) clear_sums(band);
            for (i32 cell_y = bands_.begin(band); cell_y < bands_.end(band); ++cell_y) {
                workspace_.simd.assign({planes_, width_, height_, grid_, m2_, cell_y, centers,
                                        with_sums ? sums_row(band, cell_y - 1) : nullptr, labels});
            }
        });
    }

    Run& run_;
    Workspace& workspace_;
    const Planes planes_;
    const i32 width_, height_, m2_;
    const Grid grid_;
    const Bands bands_;
};

}  // namespace

void assign_pixels(Run& run, const Image& image, double compactness, Planes planes, i32* labels,
                   Trace* trace) {
    Slic(run, image, compactness, planes).iterate(labels, trace);
}

}  // namespace superpixel
