// Stages update and assign: SLIC (Achanta et al., TPAMI 2012), in the gather form of gSLICr (Ren et al.,
// 2015): each pixel chooses among the centres around it.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

constexpr i32 kSlicIterations = 3;
// Centres that a pixel may choose: those of the 3x3 cells around its own, in scan order.
constexpr i32 kCandidates = 9;

// The grid of cells over an image. Each cell has one centre.
struct Grid {
    i32 step;    // width and height of a cell, in pixels
    i32 nx, ny;  // cells per row, cells per column
};

// sqrt(pixels / 4096), rounded and clamped to 4..8.
SUPERPIXEL_FN i32 grid_step(i64 pixels) {
    return pixels < 82944 ? 4 : pixels < 123904 ? 5 : pixels < 173056 ? 6 : pixels < 230400 ? 7 : 8;
}

// Cells along one side. The last cell takes the remainder, so its width is at most step + (step - 1) / 2.
SUPERPIXEL_FN i32 grid_cells(i32 side, i32 step) {
    const i32 cells = (side + step / 2) / step;
    return cells < 1 ? 1 : cells;
}

SUPERPIXEL_FN Grid grid_of(i32 width, i32 height) {
    const i32 step = grid_step(static_cast<i64>(width) * height);
    return {step, grid_cells(width, step), grid_cells(height, step)};
}

// The cell along one side that a position lies in.
SUPERPIXEL_FN i32 cell_of(i32 position, i32 step, i32 cells) {
    const i32 cell = position / step;
    return cell < cells - 1 ? cell : cells - 1;
}

// m^2, the weight of squared distance in space; 100 at the default compactness of 10.
SUPERPIXEL_FN i32 slic_m2(double compactness) { return static_cast<i32>(20.5 + 8.0 * compactness); }

// A centre: colour in Lab units, position in quarter pixels.
struct Center {
    i32 L, A, B, x4, y4;
};

// round(sum / count), halves up; sum >= 0. Twice the sum of one centre (at most 784 pixels, positions up to
// 2^29 quarter pixels) fits 64 bits.
SUPERPIXEL_FN i32 rounded_mean(i64 sum, i32 count) {
    // CPUs divide doubles sooner. Both numbers are exact, and a quotient that is no integer is at least
    // 1/1568 away from one: far more than its rounding error.
    return static_cast<i32>(static_cast<double>(2 * sum + count) / static_cast<double>(2 * count));
}
// The same if twice the sum fits 32 bits. GPUs divide such numbers sooner.
SUPERPIXEL_FN i32 rounded_mean(u32 sum, u32 count) {
    return static_cast<i32>((2 * sum + count) / (2 * count));
}

// The colour part of the distance: at most 64 * (400^2 + 922^2 + 1012^2) < 1.31e8.
SUPERPIXEL_FN i32 slic_color_distance(i32 step, i32 dL, i32 dA, i32 dB) {
    return step * step * (dL * dL + dA * dA + dB * dB);
}

// The part along one coordinate; `d4` in quarter pixels. Candidates are near, so both coordinates together
// give less than 4.2e7.
SUPERPIXEL_FN i32 slic_shape_distance(i32 m2, i32 d4) { return m2 * (d4 * d4); }

}  // namespace superpixel
