// Stages update and assign: SLIC (Achanta et al., TPAMI 2012) in the gather form of gSLICr (Ren et al.,
// 2015).
#pragma once

#include "superpixel/common.h"

namespace superpixel {

constexpr i32 kSlicIterations = 3;
// Centres beside a pixel's own cell that it may take: the 3x3 cells around it, in scan order.
constexpr i32 kCandidates = 9;

// Grid step from the number of pixels: sqrt(N / 4096) rounded, held between 4 and 8.
SUPERPIXEL_FN i32 grid_step(i64 pixels) {
    return pixels < 82944 ? 4 : pixels < 123904 ? 5 : pixels < 173056 ? 6 : pixels < 230400 ? 7 : 8;
}

// Cells along one side; the last one takes the remainder, so it is up to step + (step - 1) / 2 wide.
SUPERPIXEL_FN i32 grid_cells(i32 side, i32 step) {
    const i32 cells = (side + step / 2) / step;
    return cells < 1 ? 1 : cells;
}

SUPERPIXEL_FN i32 cell_of(i32 position, i32 step, i32 cells) {
    const i32 cell = position / step;
    return cell < cells - 1 ? cell : cells - 1;
}

// A centre, as the SLIC distance sees it: Lab units, and quarter pixels.
struct Center {
    i32 L, A, B, x4, y4;
};

// round(sum / count), halves up; sum >= 0. The doubled sums of one centre (at most 784 pixels, positions to
// 2^29 quarter pixels) fit 64 bits.
SUPERPIXEL_FN i32 rounded_mean(i64 sum, i32 count) {
    return static_cast<i32>((2 * sum + count) / (2 * static_cast<i64>(count)));
}

// The part of the distance that depends on colour: at most 64 * (400^2 + 922^2 + 1012^2) < 1.31e8.
SUPERPIXEL_FN i32 slic_color_distance(i32 step, i32 dL, i32 dA, i32 dB) {
    return step * step * (dL * dL + dA * dA + dB * dB);
}

// The part that depends on one coordinate, in quarter pixels. Candidates are near, so both together are
// below 4.2e7.
SUPERPIXEL_FN i32 slic_shape_distance(i32 m2, i32 d4) { return m2 * (d4 * d4); }

}  // namespace superpixel
