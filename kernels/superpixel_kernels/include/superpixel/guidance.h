// Guidance: what an edge map adds to the contrast of a pixel side, and what an importance map makes of sizes.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// Strength of the border at a pixel side, above what is usual in both regions. `p`, `q`: the edge map at the
// two pixels of the side; `level_a`, `level_b`: edge_level of the two regions.
SUPERPIXEL_FN i32 edge_excess(i32 p, i32 q, i32 level_a, i32 level_b) {
    const i32 strength = p > q ? p : q;
    const i32 level = level_a > level_b ? level_a : level_b;
    return strength > level ? strength - level : 0;
}

// Mean of the edge map over a base region, rounded down. `sum` < 2^35.
SUPERPIXEL_FN i32 edge_level(i64 sum, i64 n) { return static_cast<i32>(sum / n); }

// What stands for the size of a region in the cost of a merge: W / 32, W = sum of (32 + importance). A
// multiple of 1/32 below 2^53/32, so sums of it are exact, and it is n exactly if the importance is 0.
SUPERPIXEL_FN double importance_weight(i64 n, i64 importance_sum) {
    return static_cast<double>(32 * n + importance_sum) * (1.0 / 32);
}

}  // namespace superpixel
