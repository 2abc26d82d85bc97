// Stage smooth: 3x3 binomial filter, in two separable steps without rounding between them.
#pragma once

#include "superpixel/common.h"

namespace superpixel {

// One direction, weights (1, 2, 1). Values are at most 1131, so both directions together stay below 18200 and
// fit an int16.
SUPERPIXEL_FN i32 binomial3(i32 before, i32 here, i32 after) { return before + 2 * here + after; }

SUPERPIXEL_FN i32 binomial_round(i32 sum16) { return (sum16 + 8) >> 4; }

}  // namespace superpixel
