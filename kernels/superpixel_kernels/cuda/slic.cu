// Stages update and assign. The assignment also takes the sums that the next update needs: per tile in shared
// memory, then one atomic per tile, centre and value.
#include "device.cuh"
#include "superpixel/slic.h"

using namespace superpixel;

namespace {

constexpr i32 kTileHeight = 8;
constexpr i32 kTilePixels = kTileWidth * kTileHeight;
constexpr i32 kMinStep = 4;
constexpr i32 kMaxStep = 8;
constexpr i32 kCenterValues = 5;  // L, A, B, x4, y4
constexpr i32 kSumValues = 6;     // n, L, A, B, and x, y relative to the cell's first pixel

// Most centres that the pixels of one tile may choose: those of the cells that it overlaps, and one more cell
// on each side. A side of s pixels overlaps at most (s + kMinStep - 2) / kMinStep + 1 cells.
__device__ constexpr i32 most_cells(i32 side) { return (side + kMinStep - 2) / kMinStep + 3; }
constexpr i32 kMaxCells = most_cells(kTileWidth) * most_cells(kTileHeight);

// The sums of a centre within a tile, two in a word, so that a pixel needs three atomics. A pixel lies at
// most kMaxOffset before the cell whose centre it chooses, and at most kMaxOffset behind its first pixel; the
// last cell takes the remainder.
constexpr i32 kMaxOffset = kMaxStep + kMaxStep + (kMaxStep - 1) / 2;
constexpr u32 kOffsetBits = 13;
static_assert(kTilePixels * (kMaxOffset + kMaxStep) < 1 << kOffsetBits);
static_assert(kTilePixels * 1131 < 1 << (32 - kOffsetBits));  // the largest A; L and B are less

// The cells whose centres the pixels of a tile may choose.
struct CellWindow {
    i32 x0, y0, columns, rows;
};
template <i32 kStep>
SUPERPIXEL_DEVICE CellWindow window_of_tile(i32 x0, i32 y0, i32 width, i32 height, i32 nx, i32 ny) {
    const i32 left = max(cell_of(x0, kStep, nx) - 1, 0);
    const i32 top = max(cell_of(y0, kStep, ny) - 1, 0);
    const i32 right = min(cell_of(min(x0 + kTileWidth, width) - 1, kStep, nx) + 1, nx - 1);
    const i32 bottom = min(cell_of(min(y0 + kTileHeight, height) - 1, kStep, ny) + 1, ny - 1);
    return {left, top, right - left + 1, bottom - top + 1};
}

struct Assignment {
    const u32* __restrict__ lab;
    i32 width, height, m2, nx, ny;
    bool own_cells;                   // each pixel's centre is that of its own cell
    const i32* __restrict__ centers;  // kCenterValues arrays of nx * ny; not read if own_cells
    bool with_sums;
    i32* sums;  // kSumValues arrays of nx * ny, added to if with_sums
    bool with_labels;
    i32* labels;
};

// The step is a constant, because a division by one is a multiplication.
template <i32 kStep>
SUPERPIXEL_DEVICE void assign(const Assignment& image, int4* colors, i32* center_y, u32 (*sum)[kMaxCells]) {
    const i32 nx = image.nx;
    const i32 ny = image.ny;
    const TilePixel at = tile_pixel(image.width, image.height, kTileHeight);
    const CellWindow window = window_of_tile<kStep>(
        at.x - lane(), at.y - static_cast<i32>(threadIdx.x) / kWarp, image.width, image.height, nx, ny);
    const i32 cells = nx * ny;
    // One row of the window per warp, so that nothing divides by the number of columns.
    const auto each_cell = [&](auto&& body) {
        for (i32 row = static_cast<i32>(threadIdx.x) / kWarp; row < window.rows; row += kTileHeight) {
            for (i32 column = lane(); column < window.columns; column += kWarp) {
                body(row * window.columns + column, (window.y0 + row) * nx + window.x0 + column);
            }
        }
    };
    each_cell([&](i32 local, i32 cell) {
        for (i32 k = 0; k < 3; ++k) sum[k][local] = 0;
        if (image.own_cells) return;
        const auto value = [&](i32 k) { return image.centers[k * cells + cell]; };
        colors[local] = int4{value(0), value(1), value(2), value(3)};
        center_y[local] = value(4);
    });
    __syncthreads();
    if (at.inside) {
        const i32 cell_x = cell_of(at.x, kStep, nx);
        const i32 cell_y = cell_of(at.y, kStep, ny);
        const u32 pixel = image.lab[at.index];
        const i32 L = lab_L(pixel);
        const i32 A = lab_A(pixel);
        const i32 B = lab_B(pixel);
        const i32 own = (cell_y - window.y0) * window.columns + cell_x - window.x0;
        i32 best = own;
        i32 best_x = cell_x;
        i32 best_y = cell_y;
        if (!image.own_cells) {
            i32 least = 0x7fffffff;
            for (i32 dy = -1; dy <= 1; ++dy) {
                if (cell_y + dy < 0 || cell_y + dy >= ny) continue;
                for (i32 dx = -1; dx <= 1; ++dx) {
                    if (cell_x + dx < 0 || cell_x + dx >= nx) continue;
                    const i32 i = own + dy * window.columns + dx;
                    const int4 color = colors[i];
                    const i32 distance = slic_color_distance(kStep, L - color.x, A - color.y, B - color.z) +
                                         slic_shape_distance(image.m2, 4 * at.x - color.w) +
                                         slic_shape_distance(image.m2, 4 * at.y - center_y[i]);
                    if (distance < least) {
                        least = distance;
                        best = i;
                        best_x = cell_x + dx;
                        best_y = cell_y + dy;
                    }
                }
            }
        }
        if (image.with_labels) image.labels[at.index] = best_y * nx + best_x;
        if (image.with_sums) {
            const u32 x = static_cast<u32>(at.x - best_x * kStep + kMaxStep);
            const u32 y = static_cast<u32>(at.y - best_y * kStep + kMaxStep);
            atomicAdd(&sum[0][best], static_cast<u32>(L) << kOffsetBits | x);
            atomicAdd(&sum[1][best], static_cast<u32>(A) << kOffsetBits | y);
            atomicAdd(&sum[2][best], static_cast<u32>(B) << kOffsetBits | 1u);
        }
    }
    if (!image.with_sums) return;
    __syncthreads();
    each_cell([&](i32 local, i32 cell) {
        constexpr u32 low = (1u << kOffsetBits) - 1;
        const i32 n = static_cast<i32>(sum[2][local] & low);
        if (n == 0) return;
        const auto add = [&](i32 k, i32 value) { atomicAdd(image.sums + k * cells + cell, value); };
        add(0, n);
        for (i32 k = 0; k < 3; ++k) add(1 + k, static_cast<i32>(sum[k][local] >> kOffsetBits));
        for (i32 k = 0; k < 2; ++k) add(4 + k, static_cast<i32>(sum[k][local] & low) - n * kMaxStep);
    });
}

}  // namespace

// For steps less than kMaxStep.
extern "C" __global__ void __launch_bounds__(kTilePixels)
    slic_assign(const u32* __restrict__ lab, i32 width, i32 height, i32 step, i32 m2, i32 nx, i32 ny,
                i32 own_cells, const i32* __restrict__ centers, i32 with_sums, i32* sums, i32 with_labels,
                i32* labels) {
    __shared__ int4 colors[kMaxCells];  // L, A, B, x4 of each centre
    __shared__ i32 center_y[kMaxCells];
    __shared__ u32 sum[3][kMaxCells];
    const Assignment image{
        lab,   width, height, m2, nx, ny, own_cells != 0, centers, with_sums != 0, sums, with_labels != 0,
        labels};
    switch (step) {
        case 4:
            return assign<4>(image, colors, center_y, sum);
        case 5:
            return assign<5>(image, colors, center_y, sum);
        case 6:
            return assign<6>(image, colors, center_y, sum);
        case 7:
            return assign<7>(image, colors, center_y, sum);
    }
}

namespace {

// In an image of step kMaxStep, the tiles of slic_assign_aligned have the grid's lines among their own: each
// warp has a part of one row of cells, and a thread kRows pixels of one column and one cell.
constexpr i32 kAlignedTile = 32;
constexpr i32 kRows = 4;
constexpr i32 kAlignedThreads = kAlignedTile * kAlignedTile / kRows;
constexpr i32 kSide = kAlignedTile / kMaxStep + 2;  // cells on each side whose centres the tile may choose
constexpr i32 kNearCells = kSide * kSide;

// For a cell outside the image: farther than any centre inside, and still less than 2^31.
constexpr i32 kNowhere = -4000;

// The pixels that may choose a centre lie in a square of kMaxStep + kMaxOffset pixels per side, so the sums
// of a centre fit these words.
constexpr i32 kMostPixels = (kMaxStep + kMaxOffset) * (kMaxStep + kMaxOffset);
constexpr u32 kCountBits = 10;
static_assert(kMostPixels < 1 << kCountBits && kMostPixels * 400 < 1 << (32 - kCountBits));
static_assert(kMostPixels * (kMaxOffset + kMaxStep) < 1 << 16);
struct NearSums {
    u32 place[kNearCells];  // y and x, relative to the cell's first pixel, plus kMaxStep: 16 bits each
    u32 count[kNearCells];  // sum of L, number of pixels
    u32 A[kNearCells];
    u32 B[kNearCells];
};

}  // namespace

// As slic_assign, for step kMaxStep.
extern "C" __global__ void __launch_bounds__(kAlignedThreads)
    slic_assign_aligned(const u32* __restrict__ lab, i32 width, i32 height, i32 m2, i32 nx, i32 ny,
                        i32 own_cells, const i32* __restrict__ centers, i32 with_sums, i32* sums,
                        i32 with_labels, i32* labels) {
    __shared__ i32 center[kCenterValues][kNearCells];
    __shared__ NearSums sum;
    constexpr i32 kStep = kMaxStep;
    const u32 tiles_x = static_cast<u32>((width + kAlignedTile - 1) / kAlignedTile);
    const i32 x0 = static_cast<i32>(blockIdx.x % tiles_x) * kAlignedTile;
    const i32 y0 = static_cast<i32>(blockIdx.x / tiles_x) * kAlignedTile;
    const i32 cells = nx * ny;
    const i32 cell_x0 = cell_of(x0, kStep, nx) - 1;
    const i32 cell_y0 = cell_of(y0, kStep, ny) - 1;
    const i32 near = static_cast<i32>(threadIdx.x);
    const i32 near_x = cell_x0 + near % kSide;
    const i32 near_y = cell_y0 + near / kSide;
    const bool exists = near < kNearCells && near_x >= 0 && near_x < nx && near_y >= 0 && near_y < ny;
    const i32 near_cell = near_y * nx + near_x;
    if (near < kNearCells) {
        sum.place[near] = sum.count[near] = sum.A[near] = sum.B[near] = 0;
        for (i32 k = 0; k < kCenterValues; ++k) {
            const i32 nowhere = k == 0 ? kNowhere : k == 3 ? 4 * x0 : k == 4 ? 4 * y0 : 0;
            center[k][near] = exists && own_cells == 0 ? centers[k * cells + near_cell] : nowhere;
        }
    }
    __syncthreads();
    const i32 x = x0 + lane();
    const i32 y = y0 + static_cast<i32>(threadIdx.x) / kWarp * kRows;
    if (x < width && y < height) {
        const i32 own = (cell_of(y, kStep, ny) - cell_y0) * kSide + cell_of(x, kStep, nx) - cell_x0;
        i32 L[kRows], A[kRows], B[kRows], least[kRows], best[kRows];
        for (i32 j = 0; j < kRows; ++j) {
            const i64 row = min(y + j, height - 1);
            const u32 pixel = lab[row * width + x];
            L[j] = lab_L(pixel);
            A[j] = lab_A(pixel);
            B[j] = lab_B(pixel);
            least[j] = 0x7fffffff;
            best[j] = own;
        }
        if (own_cells == 0) {
            for (i32 candidate = 0; candidate < kCandidates; ++candidate) {
                const i32 i = own + (candidate / 3 - 1) * kSide + candidate % 3 - 1;
                const i32 center_L = center[0][i];
                const i32 center_A = center[1][i];
                const i32 center_B = center[2][i];
                const i32 dx = 4 * x - center[3][i];
                const i32 dy = 4 * y - center[4][i];
                const i32 across = slic_shape_distance(m2, dx);
                for (i32 j = 0; j < kRows; ++j) {
                    const i32 distance =
                        slic_color_distance(kStep, L[j] - center_L, A[j] - center_A, B[j] - center_B) +
                        across + slic_shape_distance(m2, dy + 4 * j);
                    if (distance < least[j]) {
                        least[j] = distance;
                        best[j] = i;
                    }
                }
            }
        }
        // Adjacent pixels with the same centre are added as one.
        u32 place = 0;
        u32 count = 0;
        u32 sum_A = 0;
        u32 sum_B = 0;
        for (i32 j = 0; j < kRows; ++j) {
            if (y + j >= height) break;
            const i32 cell_x = cell_x0 + best[j] % kSide;
            const i32 cell_y = cell_y0 + best[j] / kSide;
            if (with_labels != 0) labels[static_cast<i64>(y + j) * width + x] = cell_y * nx + cell_x;
            if (with_sums == 0) continue;
            place += static_cast<u32>(y + j - cell_y * kStep + kMaxStep) << 16 |
                     static_cast<u32>(x - cell_x * kStep + kMaxStep);
            count += static_cast<u32>(L[j]) << kCountBits | 1u;
            sum_A += static_cast<u32>(A[j]);
            sum_B += static_cast<u32>(B[j]);
            if (j + 1 < kRows && y + j + 1 < height && best[j + 1] == best[j]) continue;
            atomicAdd(&sum.place[best[j]], place);
            atomicAdd(&sum.count[best[j]], count);
            atomicAdd(&sum.A[best[j]], sum_A);
            atomicAdd(&sum.B[best[j]], sum_B);
            place = count = sum_A = sum_B = 0;
        }
    }
    if (with_sums == 0) return;
    __syncthreads();
    if (!exists) return;
    const i32 n = static_cast<i32>(sum.count[near] & ((1u << kCountBits) - 1));
    if (n == 0) return;
    const auto add = [&](i32 k, u32 value) {
        atomicAdd(sums + k * cells + near_cell, static_cast<i32>(value));
    };
    add(0, static_cast<u32>(n));
    add(1, sum.count[near] >> kCountBits);
    add(2, sum.A[near]);
    add(3, sum.B[near]);
    add(4, (sum.place[near] & 0xffffu) - static_cast<u32>(n * kMaxStep));
    add(5, (sum.place[near] >> 16) - static_cast<u32>(n * kMaxStep));
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
    i32 sum[kSumValues];
    for (i32 k = 0; k < kSumValues; ++k) {
        sum[k] = sums[k * cells + cell];
        sums[k * cells + cell] = 0;
    }
    const i32 n = sum[0];
    if (n == 0) return;
    // In 32 bits: positions are relative to a point before all pixels, so that the sums are small and not
    // negative.
    const auto mean = [&](i32 value) { return rounded_mean(static_cast<u32>(value), static_cast<u32>(n)); };
    const auto position = [&](i32 offset, i32 first) {
        return mean(4 * (offset + n * kMaxStep)) + 4 * (first * step - kMaxStep);
    };
    const i32 values[kCenterValues] = {mean(sum[1]), mean(sum[2]), mean(sum[3]), position(sum[4], cell % nx),
                                       position(sum[5], cell / nx)};
    for (i32 k = 0; k < kCenterValues; ++k) centers[k * cells + cell] = values[k];
}
