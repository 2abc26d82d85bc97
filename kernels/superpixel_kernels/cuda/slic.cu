// Stages update and assign. The assignment also takes the sums that the next update needs: per tile in shared
// memory, then one atomic per tile, centre and value.
#include "device.cuh"
#include "superpixel/slic.h"

using namespace superpixel;

constexpr i32 kTileHeight = 8;
constexpr i32 kCenterValues = 5;  // L, A, B, x4, y4
constexpr i32 kSumValues = 6;     // n, L, A, B, and x, y relative to the cell's first pixel

// Most centres that the pixels of one tile may choose: those of the cells that it overlaps, and one more cell
// on each side. Cells are at least 4 pixels wide, so a side of s pixels overlaps at most (s + 2) / 4 + 1 of
// them.
constexpr i32 kMaxCellsX = (kTileWidth + 2) / 4 + 3;
constexpr i32 kMaxCellsY = (kTileHeight + 2) / 4 + 3;
constexpr i32 kMaxCells = kMaxCellsX * kMaxCellsY;

// The cells whose centres the pixels of a tile may choose.
struct CellWindow {
    i32 x0, y0, columns, rows;
};
SUPERPIXEL_DEVICE CellWindow window_of_tile(i32 x0, i32 y0, i32 width, i32 height, i32 step, i32 nx, i32 ny) {
    const i32 left = max(cell_of(x0, step, nx) - 1, 0);
    const i32 top = max(cell_of(y0, step, ny) - 1, 0);
    const i32 right = min(cell_of(min(x0 + kTileWidth, width) - 1, step, nx) + 1, nx - 1);
    const i32 bottom = min(cell_of(min(y0 + kTileHeight, height) - 1, step, ny) + 1, ny - 1);
    return {left, top, right - left + 1, bottom - top + 1};
}

// centers: kCenterValues arrays of nx * ny, not read if `own_cells`: then each pixel's label is its own cell.
// sums: kSumValues arrays of nx * ny, added to if `with_sums`. labels: written if `with_labels`.
extern "C" __global__ void __launch_bounds__(kTileWidth* kTileHeight)
    slic_assign(const u32* __restrict__ lab, i32 width, i32 height, i32 step, i32 m2, i32 nx, i32 ny,
                i32 own_cells, const i32* __restrict__ centers, i32 with_sums, i32* sums, i32 with_labels,
                i32* labels) {
    __shared__ i32 center[kCenterValues][kMaxCells];
    __shared__ i32 sum[kSumValues][kMaxCells];
    const TilePixel at = tile_pixel(width, height, kTileHeight);
    const i32 cells = nx * ny;
    const CellWindow window = window_of_tile(at.x - lane(), at.y - static_cast<i32>(threadIdx.x) / kWarp,
                                             width, height, step, nx, ny);
    const auto global_cell = [&](i32 local) {
        return (window.y0 + local / window.columns) * nx + window.x0 + local % window.columns;
    };
    const i32 local_cells = window.columns * window.rows;
    for (i32 i = static_cast<i32>(threadIdx.x); i < local_cells; i += static_cast<i32>(blockDim.x)) {
        for (i32 k = 0; k < kSumValues; ++k) sum[k][i] = 0;
        if (own_cells == 0) {
            for (i32 k = 0; k < kCenterValues; ++k) center[k][i] = centers[k * cells + global_cell(i)];
        }
    }
    __syncthreads();
    if (at.inside) {
        const i32 cell_x = cell_of(at.x, step, nx);
        const i32 cell_y = cell_of(at.y, step, ny);
        const u32 pixel = lab[at.index];
        const i32 L = lab_L(pixel);
        const i32 A = lab_A(pixel);
        const i32 B = lab_B(pixel);
        i32 best = (cell_y - window.y0) * window.columns + cell_x - window.x0;
        if (own_cells == 0) {
            i32 least = 0x7fffffff;
            for (i32 dy = -1; dy <= 1; ++dy) {
                for (i32 dx = -1; dx <= 1; ++dx) {
                    const i32 x = cell_x + dx;
                    const i32 y = cell_y + dy;
                    if (x < 0 || x >= nx || y < 0 || y >= ny) continue;
                    const i32 i = (y - window.y0) * window.columns + x - window.x0;
                    const i32 distance =
                        slic_color_distance(step, L - center[0][i], A - center[1][i], B - center[2][i]) +
                        slic_shape_distance(m2, 4 * at.x - center[3][i]) +
                        slic_shape_distance(m2, 4 * at.y - center[4][i]);
                    if (distance < least) {
                        least = distance;
                        best = i;
                    }
                }
            }
        }
        if (with_labels != 0) labels[at.index] = global_cell(best);
        if (with_sums != 0) {
            const i32 x0 = (window.x0 + best % window.columns) * step;
            const i32 y0 = (window.y0 + best / window.columns) * step;
            const i32 values[kSumValues] = {1, L, A, B, at.x - x0, at.y - y0};
            for (i32 k = 0; k < kSumValues; ++k) atomicAdd(&sum[k][best], values[k]);
        }
    }
    if (with_sums == 0) return;
    __syncthreads();
    for (i32 i = static_cast<i32>(threadIdx.x); i < local_cells; i += static_cast<i32>(blockDim.x)) {
        if (sum[0][i] == 0) continue;
        for (i32 k = 0; k < kSumValues; ++k) atomicAdd(&sums[k * cells + global_cell(i)], sum[k][i]);
    }
}

extern "C" __global__ void slic_clear(i32 cells, i32* sums) {
    const i64 i = thread_rank();
    if (i < static_cast<i64>(kSumValues) * cells) sums[i] = 0;
}

// Computes the centres from the sums, and sets the sums to zero for the next assignment.
extern "C" __global__ void slic_update(i32 step, i32 nx, i32 ny, i32* sums, i32* centers) {
    const i32 cells = nx * ny;
    const i32 cell = static_cast<i32>(thread_rank());
    if (cell >= cells) return;
    i64 sum[kSumValues];
    for (i32 k = 0; k < kSumValues; ++k) {
        sum[k] = sums[k * cells + cell];
        sums[k * cells + cell] = 0;
    }
    const i32 n = static_cast<i32>(sum[0]);
    if (n == 0) return;
    const i64 x = sum[4] + static_cast<i64>(n) * (cell % nx * step);
    const i64 y = sum[5] + static_cast<i64>(n) * (cell / nx * step);
    const i64 values[kCenterValues] = {sum[1], sum[2], sum[3], 4 * x, 4 * y};
    for (i32 k = 0; k < kCenterValues; ++k) centers[k * cells + cell] = rounded_mean(values[k], n);
}
